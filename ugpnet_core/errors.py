"""Everything this toolkit raises on purpose.

    UGPNetError
    ├── ConfigError        a configuration file, option or override that cannot be right
    ├── PluginError        a plugin that is missing, broken or in conflict with another
    │   └── UnknownNameError   a backbone, prior, model or task that no installed plugin brings
    ├── ImageError         a file that cannot be read or written as an image
    ├── SizeError          an image size that a network cannot take (also a ValueError)
    ├── WeightsError       a weights or model file that is missing, damaged or does not fit
    │   └── SeveralNetworksError   a file of several networks, of which none is named
    ├── TrainingError      a training that cannot start, resume or go on
    └── DependencyError    an optional library that is not installed

Messages are one sentence that says what to do. The command line prints them without a
traceback unless it was started with ``--debug``.
"""

from __future__ import annotations


class UGPNetError(Exception):
    """Base of all errors that a caller of this toolkit may want to catch."""


class ConfigError(UGPNetError):
    """A configuration file, an option or an override that cannot be right."""


class PluginError(UGPNetError):
    """A plugin that is missing, broken, or in conflict with another one."""


class UnknownNameError(PluginError):
    """A name of a backbone, prior, model or task that no installed plugin brings."""


class ImageError(UGPNetError):
    """A file that cannot be read or written as an image."""


class SizeError(UGPNetError, ValueError):
    """An image size that a network cannot take."""


class WeightsError(UGPNetError):
    """A weights or model file that is missing, damaged, or does not fit the network."""


class SeveralNetworksError(WeightsError):
    """A file holds several networks that could be meant, and none is named."""


class TrainingError(UGPNetError):
    """A training that cannot start, resume or go on."""


class DependencyError(UGPNetError):
    """An optional library that is not installed."""
