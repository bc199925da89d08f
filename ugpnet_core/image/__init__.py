"""Files to tensors and back, and the padding and cropping that sizes ask for.

This is the one place that knows BGR, uint8, uint16, EXIF, alpha, palettes and colour profiles.
Everywhere else an image is a float32 RGB tensor (3, H, W) or (N, 3, H, W) in [0, 1].
"""

from ugpnet_core.image.files import (
    EXTENSIONS,
    ImageFile,
    check_writable,
    decode_image,
    from_levels,
    image_size,
    read_image,
    write_image,
)
from ugpnet_core.image.frames import holds_frames, read_frames, write_frames
from ugpnet_core.image.headers import memory_needed
from ugpnet_core.image.listing import list_images
from ugpnet_core.image.luma import luma
from ugpnet_core.image.metadata import Metadata
from ugpnet_core.image.pairs import MatchedPair, match_pairs
from ugpnet_core.image.sizes import center_square, mirrored, pad_reflect, pad_to_multiple, resize

__all__ = [
    "EXTENSIONS",
    "ImageFile",
    "MatchedPair",
    "Metadata",
    "center_square",
    "check_writable",
    "decode_image",
    "from_levels",
    "holds_frames",
    "image_size",
    "list_images",
    "luma",
    "match_pairs",
    "memory_needed",
    "mirrored",
    "pad_reflect",
    "pad_to_multiple",
    "read_frames",
    "read_image",
    "resize",
    "write_frames",
    "write_image",
]
