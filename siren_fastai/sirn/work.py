"""How much work a file asks of its decoder, estimated from its numbers before any of it is done.

The unit is a nanosecond of one core of a 2024 server processor (AMD EPYC with AVX-512), rounded up: 2e9 is two seconds
there at most. The constants come from timing `render` and `denoise` on images of many shapes.
"""

import math
from collections.abc import Sequence

from siren_fastai.render import CHUNK

__all__ = ["chunk_for", "decoding_work"]

CHUNK_NUMBERS = 1 << 22  # numbers of one layer at a time, so that memory is bounded for wide networks too
PIXEL, VALUE, SINE, PRODUCT, CALL = 40, 5, 6, 0.02, 30_000  # the last is for each layer of each network, per chunk
MEDIAN_WINDOW, TV_VALUE, TV_CHANNEL = 12, 800, 5_000_000
NLM_BORDER = 16  # pixels that scikit-image adds to each axis


def chunk_for(widest: int) -> int:
    """Pixels to render at once for networks whose widest layer has this many units."""
    return max(1, min(CHUNK, CHUNK_NUMBERS // widest))


def decoding_work(height: int, width: int, channels: int, dims: Sequence[Sequence[int]], denoise=None) -> float:
    """Nanoseconds, about, to decode an image from networks of the widths `dims` and smooth it.

    denoise: (method, strength) or None.
    """
    pixels = height * width
    chunks = math.ceil(pixels / chunk_for(max(max(widths) for widths in dims)))
    layers = sum(len(widths) + 2 for widths in dims)
    values = channels + max(widths[0] for widths in dims)
    each = PIXEL + VALUE * values + max(_network(widths) for widths in dims)
    smoothing = _smoothing(height, width, channels, *denoise) if denoise else 0.0
    return pixels * each + chunks * min(layers, layers / len(dims) * pixels) * CALL + smoothing


def _network(widths: Sequence[int]) -> float:
    products = sum(n_in * n_out for n_in, n_out in zip(widths[:-1], widths[1:], strict=True))
    return SINE * sum(widths[1:-1]) + PRODUCT * products


def _smoothing(height: int, width: int, channels: int, method: str, strength: float) -> float:
    pixels, values = height * width, height * width * channels
    if method == "median":
        side = 2 * max(1, int(strength + 0.5)) + 1
        padded = math.prod(side + 1 if n == 2 else n for n in (height, width)) * channels
        return padded * (100 + MEDIAN_WINDOW * side**2)
    if method == "bilateral":
        return pixels * (2500 if channels == 3 else 1500 * channels)
    if method == "tv":
        return values * TV_VALUE + channels * TV_CHANNEL
    padded = (height + NLM_BORDER) * (width + NLM_BORDER)
    return padded * (700 + 200 * channels)
