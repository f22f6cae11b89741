"""A collection of Kali fractals with random parameters, of which dull and noisy ones are left out."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siren_fastai.datasets.draws import Draws, checked_count, checked_seed
from siren_fastai.datasets.kali import ACCUMULATE, kali

__all__ = ["KALI_VERSION", "KaliFilter", "draw_kali", "draw_kali_image", "kali_images"]

KALI_VERSION = 1  # raised when other fractals are drawn
MOST_ITERATIONS = 37
ATTEMPTS = 1000
PREVIEW = 16  # pixels per side of the sample by which most of what is dull is left out quickly


@dataclass(frozen=True)
class KaliFilter:
    """Which fractals are worth training on, judged by sums of integers, so that every machine chooses the same."""

    mean: tuple[float, float] = (0.05, 0.5)  # the range of the mean of all values
    std: float = 0.06  # the least standard deviation of the values of a channel, over all channels
    detail: float = 0.32  # the least share of the differences between neighbours that a 3x3 mean leaves; noise has .2

    def accepts(
        self,
        image: np.ndarray,  # (c, h, w) uint8
    ) -> bool:
        """Whether the image passes all three."""
        if not self.accepts_tones(image):
            return False
        levels = image.astype(np.int64)
        rows = levels[:, :-2] + levels[:, 1:-1] + levels[:, 2:]
        smooth = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]  # 9 times the mean
        return _variation(smooth) >= self.detail * 9 * _variation(levels[:, 1:-1, 1:-1])

    def accepts_tones(self, image: np.ndarray) -> bool:
        """Whether mean and standard deviation are right; a sample of the pixels tells as much."""
        levels, n = image.reshape(len(image), -1).astype(np.int64), image.size
        totals, squares = levels.sum(1).tolist(), int((levels * levels).sum())
        if not self.mean[0] * 255 * n <= sum(totals) <= self.mean[1] * 255 * n:
            return False
        return n * squares - len(image) * sum(total * total for total in totals) >= (self.std * 255 * n) ** 2


def _variation(levels: np.ndarray) -> int:
    """The sum of the differences between neighbours."""
    return sum(int(np.abs(np.diff(levels, axis=axis)).sum()) for axis in (1, 2))


KEEP = KaliFilter()


def kali_images(
    count: int = 2000,  # images; the first ones don't depend on it
    seed: int = 0,  # another seed, another collection
    size: int = 128,  # pixels per side
    channels: int = 3,  # of the fractals, and so of the images
    keep: KaliFilter | None = KEEP,  # which fractals are kept; None is all
    legacy_offset: bool = False,  # the offsets of the original generator, from -6 to -2 instead of -2 to 2
) -> tuple[Tensor, Tensor]:  # (count, channels, size, size) uint8 and (count,) int64
    """Kali fractals, and the group of each, its index.

    An image depends on its index, the seed and the options alone, and is the same on every machine.
    Raises: ValueError unless `count`, `size` and `channels` are integers of 1 or more and `seed` of 0 or more.
    """
    seed, count = checked_seed(seed), checked_count("count", count)
    size, channels = checked_count("size", size), checked_count("channels", channels)
    images = torch.empty(count, channels, size, size, dtype=torch.uint8)
    for index in range(count):
        images[index] = torch.from_numpy(draw_kali_image(index, seed, size, channels, keep, legacy_offset))
    return images, torch.arange(count)


def draw_kali_image(
    index: int,
    seed: int = 0,
    size: int = 128,
    channels: int = 3,
    keep: KaliFilter | None = None,
    legacy_offset: bool = False,
) -> np.ndarray:
    """The image at `index` of the collection `seed`, (channels, size, size) uint8: the first that `keep` accepts."""
    for attempt in range(ATTEMPTS):
        options = draw_kali(Draws(seed, index, attempt), channels, legacy_offset)
        if keep is not None and not keep.accepts_tones(_levels((channels, PREVIEW, PREVIEW), options)):
            continue
        levels = _levels((channels, size, size), options)
        if keep is None or keep.accepts(levels):
            return levels
    raise ValueError(f"`keep` accepts none of {ATTEMPTS} fractals: {keep}")


def _levels(shape: tuple[int, int, int], options: dict) -> np.ndarray:
    """A fractal in 8 bits, rounded half up."""
    return kali(shape, **options).mul_(255).add_(0.5).to(torch.uint8).numpy()


def draw_kali(draws: Draws, channels: int = 3, legacy_offset: bool = False) -> dict:
    """Random options for `kali`, as the original generator draws them.

    scale = 2 u^3 (0 to 2), param = 1.2 u per channel, offset = 4 u - 2 per channel, iterations from 1 to 37, more for
    small scales, any mode, and weights of the channels u / sqrt(c) + 0.2 g. u is uniform on [0, 1); g, of mean 0 and
    standard deviation 1, is the sum of twelve u less 6, as a normal number's logarithm isn't the same everywhere.
    `legacy_offset`: -4 u - 2, what the original draws by an exchange of its limits.
    """
    cube = _uniform(draws)
    scale = 2 * (cube * cube * cube)
    iterations = min(draws.between(1, MOST_ITERATIONS) + int(1 / scale), MOST_ITERATIONS)
    offset = [-4 * _uniform(draws) - 2 if legacy_offset else 4 * _uniform(draws) - 2 for _ in range(channels)]
    param = [1.2 * _uniform(draws) for _ in range(channels)]
    root = math.sqrt(channels)
    mix = [[_uniform(draws) / root + 0.2 * _bell(draws) for _ in range(channels)] for _ in range(channels)]
    mode = draws.choice(ACCUMULATE)
    return dict(scale=scale, iterations=iterations, offset=offset, param=param, mix=mix, accumulate=mode)


def _uniform(draws: Draws) -> float:
    """A number above 0, up to 1."""
    return (draws.below(2**31) + 1) / 2**31


def _bell(draws: Draws) -> float:
    return sum(_uniform(draws) for _ in range(12)) - 6
