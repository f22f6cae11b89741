"""Random integers that are the same with every version of NumPy and on every machine."""

import operator
from collections.abc import Sequence

import numpy as np

__all__ = ["Draws", "checked_count", "checked_seed"]


class Draws:
    """Random integers of one item: they depend on `seed` and `key` alone.

    NumPy promises the raw bits of PCG64 and the seeding of `SeedSequence`, but not what its `Generator` makes of them,
    so integers are made here: the upper 32 bits times n, divided by 2^32. Their bias is below n / 2^32.
    """

    def __init__(
        self,
        seed: int,  # 0 or more
        *key: int,  # what the draws are for, such as the item's index
    ):
        self.bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key))

    def below(
        self,
        n: int,  # 1 to 2^31
        shape: tuple[int, ...] = (),  # of the result
    ) -> np.ndarray | int:
        """Integers from 0 to n - 1: an int64 array of `shape`, or an int without a shape."""
        if shape == ():
            return (int(self.bits.random_raw()) >> 32) * n >> 32
        raw = self.bits.random_raw(int(np.prod(shape))) >> np.uint64(32)
        return (raw.astype(np.int64) * n >> 32).reshape(shape)

    def between(self, low: int, high: int, shape: tuple[int, ...] = ()) -> np.ndarray | int:
        """Integers from `low` to `high`, both included."""
        return low + self.below(high - low + 1, shape)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 draws."""
        return self.below(100) < percent

    def choice(self, options: Sequence):
        """One of `options`, each as likely."""
        return options[self.below(len(options))]


def checked_seed(seed) -> int:
    """`seed` as an int. Raises: ValueError unless it is an integer of 0 or more."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or operator.index(seed) < 0:
        raise ValueError(f"`seed` must be an integer of 0 or more, got {seed!r}")
    return operator.index(seed)


def checked_count(name: str, value) -> int:
    """`value` as an int. Raises: ValueError that names the argument unless it is an integer of 1 or more."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 1:
        raise ValueError(f"`{name}` must be an integer of 1 or more, got {value!r}")
    return operator.index(value)
