"""The loss over the steps: jumps that stay, and spikes that pass.

Source: note 004, whose loss "jumps up and stays horizontal".
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence

__all__ = ["LossWatch", "spikes"]

MIN_LOSSES = 10  # before a loss can be too high: a median of fewer says little
CHANCE = 1e-6  # a run of high losses that is likelier than this at a step may be chance


class LossWatch:
    """Tell a jump of the loss that stays from a spike that passes, loss by loss.

    A loss is high above `factor` times the running median of the last `window` losses, the present run of high ones
    left out. A jump stays if `patience` in a row are high; where more of the window were as high, so that such runs
    happen by chance, it takes more of them. Where the window has a loss of 0 or less, "high" is `factor` - 1 times the
    median's absolute value, or the interquartile range if that is larger, above the median.
    Losses that aren't finite are high.
    Raises: ValueError for a `factor` of 1 or less, a `patience` below 1 or a `window` too short for both.
    """

    def __init__(
        self,
        factor: float = 3.0,  # how many times the median is too high
        window: int = 100,  # losses that the median is taken of
        patience: int = 5,  # high losses in a row
    ):
        if not 1 < factor < math.inf:
            raise ValueError(f"`factor` must be above 1 and finite, got {factor!r}")
        if patience < 1 or window < max(MIN_LOSSES, 2 * patience):
            raise ValueError(
                f"`patience` must be 1 or more and `window` at least {MIN_LOSSES} and twice as long, got a patience of "
                f"{patience!r} and a window of {window!r}"
            )
        self.factor, self.patience = factor, patience
        self.losses, self.were_high = deque(maxlen=window), deque(maxlen=window)
        self.high: list[float] = []  # the present run

    def add(
        self,
        loss: float,  # of the next step
    ) -> bool:
        """Whether the losses jumped and stay there, as of this one."""
        if self.is_high(loss):
            self.high.append(loss)
            return len(self.high) >= self.needed()
        self._close_run()
        self.losses.append(loss)
        self.were_high.append(False)
        return False

    def is_high(self, loss: float) -> bool:
        """Whether `loss` is more than it should be by now."""
        if not math.isfinite(loss):
            return True
        return len(self.losses) >= MIN_LOSSES and loss > self.limit()

    @property
    def median(self) -> float:
        """The running median; nan before the first loss."""
        return statistics.median(self.losses) if self.losses else math.nan

    @property
    def calm(self) -> bool:
        """Whether the last loss was nearer to the median than to what is high."""
        if self.high or not self.losses:
            return False
        return len(self.losses) < MIN_LOSSES or self.losses[-1] <= self.limit(math.sqrt(self.factor))

    def limit(
        self,
        factor: float | None = None,  # another one than the watch's
    ) -> float:
        """The loss above which one is high."""
        median, factor = self.median, self.factor if factor is None else factor
        if min(self.losses) > 0:
            return factor * median
        first, _, third = statistics.quantiles(self.losses, n=4)
        return median + (factor - 1) * max(abs(median), third - first)

    def needed(self) -> int:
        """How many high losses in a row are a jump that stays."""
        share = sum(self.were_high) / max(1, len(self.were_high))
        return max(self.patience, math.ceil(math.log(CHANCE) / math.log(share))) if 0 < share < 1 else self.patience

    def forget_run(self) -> None:
        """Drop the present run of high losses, as if those steps had not been made."""
        self.high = []

    def clear(self) -> None:
        """Forget all losses, as for another task or other data."""
        self.losses.clear(), self.were_high.clear(), self.forget_run()

    def _close_run(self) -> None:
        self.losses.extend(loss for loss in self.high if math.isfinite(loss))
        self.were_high.extend(True for _ in self.high)
        self.high = []


def spikes(
    losses: Sequence[float],  # of each step, in order
    factor: float = 3.0,  # as for `LossWatch`
    window: int = 100,  # as for `LossWatch`
) -> list[int]:
    """The steps whose loss is above `factor` times the running median of those before, or isn't finite."""
    watch, found = LossWatch(factor, window, patience=1), []
    for step, loss in enumerate(losses):
        if watch.is_high(loss):
            found.append(step)
        watch.add(loss)
    return found
