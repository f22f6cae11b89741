"""How large a network for how many bytes, and what a quality means in bits per pixel."""

import math

from siren_fastai.sirn.contents import Network

__all__ = ["LAYERS", "bits_per_pixel_of", "dims_for", "least_bytes", "steps_for"]

LAYERS = 6  # hidden, the first twice as wide as the others
BITS = {"quantized": 5.2, "quantized_rows": 5.2, "float16": 16}  # approximate bits of a parameter in a file
STEP_BYTES = 2
OVERHEAD = 60  # approximate bytes of a network that are not symbols: steps and symbol models
MIN_WIDTH, MAX_WIDTH = 4, 512
STEPS_PER_UNIT, MAX_STEPS = 37, 3_400  # training steps per hidden unit: a larger network has more to learn
MIN_BPP, MAX_BPP = 0.02, 2.0  # bits per pixel of quality 1 and 100


def bits_per_pixel_of(quality: float) -> float:
    """Bits per pixel of a quality from 1 (0.02) to 100 (2): equal steps of quality multiply the bits equally."""
    if isinstance(quality, bool) or not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100, got {quality!r}")
    return MIN_BPP * (MAX_BPP / MIN_BPP) ** ((quality - 1) / 99)


def dims_for(
    n_bytes: float,  # of a file, for its networks alone
    channels: int,
    inputs: int = 2,  # of each network
    networks: int = 1,
    weights: str = "quantized",  # how they are stored, one of `names.CODEC_WEIGHTS`
) -> list[int]:
    """The widths of each of `networks` equal SIRENs, the widest that fit in about `n_bytes`.

    Raises: ValueError for fewer bytes than the smallest networks take.
    """
    shapes = [_dims(width, inputs, channels) for width in range(MIN_WIDTH, MAX_WIDTH + 1)]
    fits = [dims for dims in shapes if networks * _bytes(dims, weights) <= n_bytes]
    if not fits:
        least = least_bytes(channels, inputs, networks, weights)
        raise ValueError(f"the smallest network takes about {least} bytes, and {max(0, n_bytes):.0f} are left for it")
    return fits[-1]


def least_bytes(channels: int, inputs: int = 2, networks: int = 1, weights: str = "quantized") -> int:
    """About the bytes that the smallest networks take: the smallest number that `dims_for` accepts."""
    return math.ceil(networks * _bytes(_dims(MIN_WIDTH, inputs, channels), weights))


def steps_for(dims: list[int]) -> int:
    """The training steps that `compress` takes by default: 37 times the last hidden width, at most 3400."""
    return min(MAX_STEPS, STEPS_PER_UNIT * dims[-2])


def _dims(width: int, inputs: int, channels: int) -> list[int]:
    return [inputs, 2 * width, *[width] * (LAYERS - 1), channels]


def _bytes(dims: list[int], weights: str) -> float:
    rows = STEP_BYTES * sum(dims[1:]) if weights == "quantized_rows" else 0
    return OVERHEAD + rows + Network.count(dims) * BITS[weights] / 8
