"""Stop a fit when a metric is good enough."""

import math
import time

from fastai.callback.core import Callback, CancelFitException

from siren_fastai.callbacks.metric_history import MetricHistory

__all__ = ["StopAt"]


class StopAt(Callback):
    """Stop the fit after the first epoch whose `monitor` reaches `value`, and keep what it took in `reached`.

    `reached` is a dict of epoch (of this fit, from 0), opt_steps, seconds (training without validation) and value, all
    counted from the start of the fit. A fit that ends without reaching the value prints the best that it had, and
    `reached` is None. `lr_find` isn't stopped.
    Raises: ValueError before the first batch if `monitor` isn't a column.
    """

    order = MetricHistory.order + 10  # after the epoch is recorded

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
        self.started = time.perf_counter()

    def after_step(self):
        self.steps += 1

    def after_train(self):
        self.spent += time.perf_counter() - self.started

    def after_epoch(self):
        if not self.monitoring:
            return
        value = self.learn.final_record[list(self.recorder.metric_names[1:]).index(self.monitor)]
        self.seen.append(value)
        if value >= self.value if self.above else value <= self.value:
            self.reached = dict(epoch=self.epoch, opt_steps=self.steps, seconds=self.spent, value=value)
            raise CancelFitException(f"{self.monitor} reached {value:.4g}")

    def after_fit(self):
        if self.monitoring and self.reached is None:
            numbers = [value for value in self.seen if not math.isnan(value)]
            best = f"{(max if self.above else min)(numbers):.4g}" if numbers else "nan"
            print(f"StopAt: {self.monitor} did not reach {self.value:g} in {len(self.seen)} epochs, the best is {best}")
        self.monitoring = False
