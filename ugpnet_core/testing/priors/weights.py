"""The weights that a prior brings."""

from __future__ import annotations

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.errors import UGPNetError
from ugpnet_core.model_files.prior import create_prior
from ugpnet_core.plugins import PriorEntry, registry
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject


def check_weights(subject: Subject) -> Outcome:
    """The file of weights that the entry names is there, whole, and fits the network."""
    installed = registry().priors.get(subject.name)
    if not subject.has_file or installed is None:
        return Outcome("not declared", "the entry names no file of weights")
    assert isinstance(installed.entry, PriorEntry)
    try:
        path = find_weights(installed)
        create_prior(subject.name)
    except UGPNetError as error:
        raise CheckFailed(str(error)) from error
    return passed(f"{path.name} fits")
