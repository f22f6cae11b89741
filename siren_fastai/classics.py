"""JPEG, WebP and AVIF files of an image, by Pillow, as bytes and as points for a comparison.

JPEG with optimised Huffman tables, WebP with method 6, its smallest, AVIF with speed 6, Pillow's default. Chroma is
subsampled as the encoders do by default, 4:2:0. No metadata.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from siren_fastai.images import to_uint8

__all__ = ["QUALITIES", "available_codecs", "decode_classic", "encode_classic", "pillow_points"]

QUALITIES = {
    "jpeg": (3, 6, 10, 15, 20, 30, 40, 50, 65, 80, 90),
    "webp": (0, 2, 5, 10, 20, 30, 45, 60, 75, 90),
    "avif": (5, 15, 25, 35, 45, 55, 65, 75, 85),
}
SETTINGS = {"jpeg": {"optimize": True}, "webp": {"method": 6}, "avif": {"speed": 6}}


def available_codecs() -> tuple[str, ...]:
    """Those of `QUALITIES` that this Pillow can write; AVIF is there from Pillow 11.3 on."""
    lacking = {name for name in ("webp", "avif") if name not in features.modules or not features.check(name)}
    return tuple(name for name in QUALITIES if name not in lacking)


def encode_classic(image: np.ndarray | Tensor, codec: str, quality: int) -> bytes:
    """The whole file of `image` in "jpeg", "webp" or "avif" at `quality`.

    Shapes: (h, w), (h, w, 1) or (h, w, 3), uint8, or floats in [0, 1], which are rounded first. 0 <= `quality` <= 100.
    Raises: ValueError for another shape, an unknown codec, one that this Pillow lacks, a quality out of range, or an
    image that is too large for the format (sides above 65535 in JPEG, 16383 in WebP); TypeError for other numbers.
    """
    _check_codec(codec)
    if not 0 <= quality <= 100:
        raise ValueError(f"`quality` must be from 0 to 100, got {quality!r}")
    levels, stream = _levels(image), io.BytesIO()
    try:
        Image.fromarray(levels).save(stream, codec.upper(), quality=quality, **SETTINGS[codec])
    except OSError as error:
        raise ValueError(f"{codec} cannot hold {levels.shape[0]}x{levels.shape[1]} pixels ({error})") from None
    return stream.getvalue()


def decode_classic(data: bytes, channels: int = 3) -> Tensor:
    """The pixels of such a file, (h, w, channels) float32 in [0, 1]; 1 channel is gray, which WebP stores as RGB."""
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 or 3, got {channels}")
    with Image.open(io.BytesIO(data)) as picture:
        levels = np.array(picture.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    return torch.from_numpy(levels / 255).view(*levels.shape[:2], channels)


def pillow_points(
    image: np.ndarray | Tensor, codec: str, qualities: Sequence[int] | None = None
) -> list[tuple[int, int, Tensor]]:
    """`(quality, n_bytes, decoded)` of `image` at each quality; `decoded` is (h, w, c) float32, what the file gives.

    `qualities` None are those of `QUALITIES`. Raises: as `encode_classic`.
    """
    _check_codec(codec)
    levels, points = _levels(image), []
    for quality in QUALITIES[codec] if qualities is None else qualities:
        data = encode_classic(levels, codec, quality)
        points.append((quality, len(data), decode_classic(data, 1 if levels.ndim == 2 else 3)))
    return points


def _check_codec(codec: str) -> None:
    if codec not in QUALITIES:
        raise ValueError(f"`codec` must be one of {', '.join(QUALITIES)}, got {codec!r}")
    if codec not in available_codecs():
        raise ValueError(f"this Pillow cannot write {codec}; it can write {', '.join(available_codecs())}")


def _levels(image: np.ndarray | Tensor) -> np.ndarray:
    """(h, w) or (h, w, 3) uint8: what Pillow takes."""
    levels = image.detach().cpu().numpy() if isinstance(image, Tensor) and image.dtype == torch.uint8 else image
    if isinstance(levels, Tensor) or levels.dtype != np.uint8:
        levels = to_uint8(levels)
    levels = levels[..., 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels
    if levels.size == 0 or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] == 3)):
        raise ValueError(f"`image` must be (h, w), (h, w, 1) or (h, w, 3), got {tuple(image.shape)}")
    return np.ascontiguousarray(levels)
