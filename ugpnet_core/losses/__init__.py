"""The losses that the stages are trained with (paper section 3, supplement S.3).

Subjects: :mod:`~ugpnet_core.losses.pixel`, :mod:`~ugpnet_core.losses.perceptual`,
:mod:`~ugpnet_core.losses.contextual`, :mod:`~ugpnet_core.losses.adversarial`.
"""
