"""The checks, a module for each sort of promise. Every one takes a subject, returns an outcome and
raises :class:`ugpnet_core.testing.CheckFailed` with one sentence."""
