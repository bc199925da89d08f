"""What recognises faces and finds their landmarks, by name: dlib, and what plugins bring.

A package adds its own by an entry point of the group ``ugpnet.face_models``, whose name is that of
the model, and whose object makes one without arguments:

    [project.entry-points."ugpnet.face_models"]
    arcface = "my_package:ArcFace"
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from torch import Tensor

from ugpnet_core.errors import DependencyError, PluginError
from ugpnet_core.near import did_you_mean
from ugpnet_core.plugins.discovery import describe_error

GROUP = "ugpnet.face_models"
DLIB = "dlib"


@runtime_checkable
class FaceModel(Protocol):
    """Measures a face. Images are RGB (3, H, W) in [0, 1].

    Attributes:
        words: what it is, for the protocol of a table.
    """

    words: str

    def find(self, image: Tensor) -> object | None:
        """Where the largest face of a photograph is, in terms of its own; None: nowhere."""

    def embedding(self, image: Tensor, face: object) -> Tensor:
        """Numbers (D,) that are near for images of one person."""

    def landmarks(self, image: Tensor, face: object) -> Tensor:
        """Points (K, 2) of the face, x and y in pixels."""


def make_face_model(name: str) -> FaceModel:
    """Make a model by its name.

    Raises:
        PluginError: there is none of that name, or it is broken.
        DependencyError: dlib or its models are not installed.
    """
    if name == DLIB:
        from ugpnet_core.metrics.dlib_faces import DlibFaces

        return DlibFaces()
    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found:
        known = [DLIB, *sorted(found)]
        advice = did_you_mean(name, known, "choose another.")
        raise PluginError(f"There is no face model {name!r} among {', '.join(known)}; {advice}")
    try:
        model = found[name].load()()
    except DependencyError:
        raise
    except Exception as error:  # other people's code raises anything
        raise PluginError(
            f"The face model {name!r} cannot be made ({describe_error(error)}); update the package "
            f"that brings it, or choose {DLIB}."
        ) from error
    if not isinstance(model, FaceModel):
        raise PluginError(
            f"The face model {name!r} lacks something of "
            "ugpnet_core.metrics.face_models.FaceModel; choose another."
        )
    return model
