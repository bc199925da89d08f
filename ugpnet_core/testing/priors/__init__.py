"""The conformance checks for priors, in the form of those for backbones. Every check takes a
:class:`PriorSubject`, returns an outcome and raises :class:`ugpnet_core.testing.CheckFailed` with
one sentence."""
