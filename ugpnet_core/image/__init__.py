"""Files to tensors and back, and the padding and cropping that sizes ask for.

This is the one place that knows BGR, uint8, uint16, EXIF, alpha, palettes and colour profiles.
Everywhere else an image is a float32 RGB tensor (3, H, W) or (N, 3, H, W) in [0, 1].
"""

from ugpnet_core.image.files import (
    EXTENSIONS,
    ImageFile,
    decode_image,
    from_levels,
    image_size,
    list_images,
    read_image,
    write_image,
)
from ugpnet_core.image.luma import luma
from ugpnet_core.image.pairs import MatchedPair, match_pairs
from ugpnet_core.image.sizes import center_square, pad_reflect, pad_to_multiple, resize

__all__ = [
    "EXTENSIONS",
    "ImageFile",
    "MatchedPair",
    "center_square",
    "decode_image",
    "from_levels",
    "image_size",
    "list_images",
    "luma",
    "match_pairs",
    "pad_reflect",
    "pad_to_multiple",
    "read_image",
    "resize",
    "write_image",
]
