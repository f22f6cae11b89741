"""Stop a fit when a metric is good enough."""

import math
import time

from fastai.callback.core import Callback, CancelFitException
from fastai.torch_core import rank_distrib

from siren_fastai.data.share import is_shared
from siren_fastai.processes import first_value

__all__ = ["StopAt"]


class StopAt(Callback):
    """Stop the fit after the first epoch whose `monitor` reaches `value`, and keep what it took in `reached`.

    Other callbacks, such as SaveModelCallback, see that epoch first.

    `reached` is a dict of epoch (of this fit, from 0), opt_steps, seconds (training without validation) and value, all
    counted from the start of the fit. A fit that ends without reaching the value prints the best that it had, and
    `reached` is None. `lr_find` isn't stopped.
    Raises: ValueError before the first batch if `monitor` isn't a column.
    """

    order = 70  # after fastai's own (65 at most): SaveModelCallback must see the epoch that ends the fit

    def __init__(
        self,
        monitor: str = "psnr",  # a column of fastai's table, such as "psnr" or "valid_loss"
        value: float = 40.0,  # the level to reach, in the unit of that column
        above: bool | None = None,  # whether larger is better; None: losses and errors fall, anything else rises
    ):
        falls = any(word in monitor for word in ("loss", "mse", "mae", "error"))
        self.monitor, self.value, self.above = monitor, value, (not falls if above is None else above)
        self.reached = None

    def before_fit(self):
        self.steps, self.spent, self.monitoring, self.seen = 0, 0.0, False, []

    def before_train(self):
        names = list(self.recorder.metric_names[1:])
        if self.monitor not in names:
            raise ValueError(
                f"`monitor` must be one of {names}, got {self.monitor!r}; is it among the learner's metrics?"
            )
        if not self.monitoring:
            self.monitoring, self.reached = not hasattr(self, "lr_finder"), None
        self.started, self.judged = time.perf_counter(), len(self.recorder.values)

    def after_step(self):
        self.steps += 1

    def after_train(self):
        self.spent += time.perf_counter() - self.started

    def after_epoch(self):
        if self.monitoring:
            self._judge()
            if self.reached is not None:
                raise CancelFitException(f"{self.monitor} reached {self.reached['value']:.4g}")

    def _judge(self):
        self.judged = len(self.recorder.values)
        value = self.recorder.values[-1][list(self.recorder.metric_names[1:]).index(self.monitor)]
        self.seen.append(value)
        reached = value >= self.value if self.above else value <= self.value
        if first_value(reached) if is_shared(self.dl) else reached:  # processes that disagreed would wait forever
            self.reached = dict(epoch=self.epoch, opt_steps=self.steps, seconds=self.spent, value=value)

    def after_fit(self):
        if self.monitoring and len(self.recorder.values) > self.judged:  # another callback ended the fit first
            self._judge()
        if self.monitoring and self.reached is None and not rank_distrib():
            numbers = [value for value in self.seen if not math.isnan(value)]
            best = f"{(max if self.above else min)(numbers):.4g}" if numbers else "nan"
            print(f"StopAt: {self.monitor} did not reach {self.value:g} in {len(self.seen)} epochs, the best is {best}")
        self.monitoring = False
