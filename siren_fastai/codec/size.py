"""How large a network for how many bytes: the shapes that the codec chooses, and what a quality stands for."""

import math

from siren_fastai.sirn.contents import Network

__all__ = ["LAYERS", "bits_per_pixel_of", "dims_for", "least_bytes", "steps_for"]

LAYERS = 6  # hidden, the first of twice the width of the others
BITS = 5.2  # what a parameter takes in a file, about: the size of the network follows from it
OVERHEAD = 60  # bytes of each network that are not symbols: steps and symbol models, about
NARROWEST, WIDEST = 4, 512
STEPS, MOST_STEPS = 110, 10_000  # of training, for each hidden unit: a larger network has more to learn
LOW, HIGH = 0.02, 2.0  # bits per pixel of quality 1 and 100


def bits_per_pixel_of(quality: float) -> float:
    """Bits per pixel of a quality from 1 (0.02) to 100 (2): equal steps of quality multiply the bits equally."""
    if isinstance(quality, bool) or not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100, got {quality!r}")
    return LOW * (HIGH / LOW) ** ((quality - 1) / 99)


def dims_for(n_bytes: float, channels: int, inputs: int = 2, networks: int = 1, layers: int = LAYERS) -> list[int]:
    """The widths of each of `networks` SIRENs that together fill a file of about `n_bytes`, the widest that fit.

    Raises: ValueError for fewer bytes than the smallest networks take.
    """
    fits = [w for w in range(NARROWEST, WIDEST + 1) if _bytes(_dims(w, inputs, channels, layers), networks) <= n_bytes]
    if not fits:
        least = least_bytes(channels, inputs, networks, layers)
        raise ValueError(f"the smallest network takes about {least} bytes, and {max(0, n_bytes):.0f} are left for it")
    return _dims(fits[-1], inputs, channels, layers)


def least_bytes(channels: int, inputs: int = 2, networks: int = 1, layers: int = LAYERS) -> int:
    """About what a file with the smallest networks takes: the least that `dims_for` accepts."""
    return math.ceil(_bytes(_dims(NARROWEST, inputs, channels, layers), networks))


def steps_for(dims: list[int]) -> int:
    """The training steps that `compress` takes by default: 110 times the last hidden width, at most 10 000."""
    return min(MOST_STEPS, STEPS * dims[-2])


def _dims(width: int, inputs: int, channels: int, layers: int) -> list[int]:
    return [inputs, 2 * width, *[width] * (layers - 1), channels]


def _bytes(dims: list[int], networks: int) -> float:
    return networks * (OVERHEAD + Network.count(dims) * BITS / 8)
