"""Faces as dlib sees them: its detector, its 68 landmarks, and its recogniser.

D. E. King: Dlib-ml, JMLR 2009 (Boost licence). The models are those of the package
face_recognition_models: the recogniser is in the public domain (99.38 % on Labeled Faces in the
Wild); the landmarks were learned from iBUG 300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.errors import DependencyError
from ugpnet_core.metrics.package_files import package_file

PACKAGE, DISTRIBUTION = "face_recognition_models", "'ugpnet-core[identity]'"
RECOGNISER = "models/dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "models/shape_predictor_68_face_landmarks.dat"


class DlibFaces:
    """See :class:`ugpnet_core.metrics.face_models.FaceModel`.

    Raises:
        DependencyError: dlib or its models are not installed.
    """

    words = (
        "dlib's detector on the photograph, its recogniser (ResNet, 128 numbers) and 68 landmarks"
    )

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise DependencyError(
                f"Faces are measured with dlib ({error}); pip install {DISTRIBUTION}"
            ) from error
        recogniser = package_file(PACKAGE, RECOGNISER, "The identity of faces", DISTRIBUTION)
        landmarks = package_file(PACKAGE, LANDMARKS, "The landmarks of faces", DISTRIBUTION)
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(landmarks))
        self._recogniser = dlib.face_recognition_model_v1(str(recogniser))

    def find(self, image: Tensor) -> object | None:
        """The box of the largest face; None: there is none."""
        # Enlarged once, so that faces of 40 pixels are found, too.
        boxes = list(self._detector(_levels(image), 1))
        return max(boxes, key=lambda box: box.area(), default=None)

    def embedding(self, image: Tensor, face: object) -> Tensor:
        """128 numbers, of the face turned upright by its landmarks."""
        levels = _levels(image)
        shape = self._predictor(levels, face)
        found = self._recogniser.compute_face_descriptor(levels, shape)
        return torch.tensor(list(found), dtype=torch.float64)

    def landmarks(self, image: Tensor, face: object) -> Tensor:
        """68 points in iBUG's order, (68, 2)."""
        shape = self._predictor(_levels(image), face)
        return torch.tensor([[point.x, point.y] for point in shape.parts()], dtype=torch.float64)


def _levels(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
