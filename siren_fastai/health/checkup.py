"""The judgement of a training run from numbers: whether it is unwell, and why."""

import math
from collections.abc import Sequence

from siren_fastai.health.losses import LossWatch

__all__ = ["Checkup"]


class Checkup:
    """Judge losses, outputs and gradients, check by check.

    A run is unwell if a loss or a gradient isn't finite, if the loss jumped and stays there (`LossWatch`), or if
    channels of the outputs that varied at the last healthy state are constant in `patience` checks in a row.
    `suspicious` says that one of the two may have begun, and `healthy` that the state is worth keeping: the last loss
    is finite and calm, and no channel has become constant.
    Raises: as `LossWatch`.
    """

    def __init__(self, factor: float = 3.0, window: int = 100, patience: int = 5):  # as for `LossWatch`
        self.watch, self.patience = LossWatch(factor, window, patience), patience
        self.varied: list[bool] = []  # which channels varied at the last healthy state
        self.constant: list[bool] = []  # which are constant at this check
        self.constant_run, self.last_loss = 0, math.nan

    def look(
        self,
        losses: Sequence[float],  # of the steps since the last check
        constant: Sequence[bool] = (),  # which channels of the outputs are constant now
        gradient_norm: float = 0.0,  # the last one that was measured
        tolerant: bool = False,  # whether steps that aren't finite are skipped, as a `GradScaler` does
    ) -> str | None:  # None: nothing is wrong
        """What is wrong with the run, in words that end a sentence."""
        self.constant = list(constant)
        fault = self._fault_of_losses(losses, tolerant)
        self.constant_run = self.constant_run + 1 if self._collapsed() else 0
        if fault is None and not math.isfinite(gradient_norm) and not tolerant:
            fault = f"a gradient was {gradient_norm}"
        if fault is None and self.constant_run >= self.patience:
            fault = f"the outputs are constant in {_channels(self.constant)} although the targets vary"
        return fault

    @property
    def suspicious(self) -> bool:
        return bool(self.watch.high or self.constant_run)

    @property
    def healthy(self) -> bool:
        return math.isfinite(self.last_loss) and self.watch.calm and not self.constant_run

    @property
    def never_varied(self) -> str:
        """The channels that are constant now as at the last healthy state, in words; empty if there are none."""
        never = [constant and not varied for constant, varied in zip(self.constant, self.varied, strict=False)]
        return _channels(never) if any(never) else ""

    def kept(self) -> None:
        """The state of this check is the healthy one now."""
        self.varied = [not constant for constant in self.constant]

    def restored(self) -> None:
        """The last healthy state is back."""
        self.watch.forget_run()
        self.constant_run = 0

    def _fault_of_losses(self, losses: Sequence[float], tolerant: bool) -> str | None:
        for loss in losses:
            self.last_loss = loss
            if not math.isfinite(loss) and not tolerant:
                return f"the loss was {loss}"
            if self.watch.add(loss):
                times = f"{self.watch.factor:g} times its median of {self.watch.median:.3g}"
                return f"the loss was above {times} for {len(self.watch.high)} steps, last {loss:.3g}"
        return None

    def _collapsed(self) -> bool:
        pairs = zip(self.varied, self.constant, strict=False)
        return any(varied and constant for varied, constant in pairs)


def _channels(which: Sequence[bool]) -> str:
    """The channels in words: all of them, or their numbers."""
    numbers = [str(i) for i, one in enumerate(which) if one]
    return f"all {len(which)} channels" if all(which) else f"channel {', '.join(numbers)}"
