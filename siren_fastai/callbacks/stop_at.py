"""Stop a fit when a metric is good enough."""

import time

from fastai.callback.core import Callback, CancelFitException

from siren_fastai.callbacks.metric_history import MetricHistory

__all__ = ["StopAt"]


class StopAt(Callback):
    """Stop the fit after the first epoch whose `monitor` reaches `value`, and keep what it took in `reached`.

    monitor: a column of fastai's table, such as "psnr" or "valid_loss". above: whether larger is better; None decides
    by the name: losses and errors fall, all else rises. `reached` is None or a dict of epoch (of this fit, from 0),
    opt_steps, seconds (training without validation) and value, all counted from the start of the fit.
    Raises: ValueError before the first batch if `monitor` is no column.
    """

    order = MetricHistory.order + 10  # after the epoch is recorded

    def __init__(self, monitor: str = "psnr", value: float = 40.0, above: bool | None = None):
        falls = any(word in monitor for word in ("loss", "mse", "mae", "error"))
        self.monitor, self.value, self.above = monitor, value, (not falls if above is None else above)
        self.reached = None

    def before_fit(self):
        self.steps, self.spent, self.stopping = 0, 0.0, False

    def before_train(self):
        names = list(self.recorder.metric_names[1:])
        if self.monitor not in names:
            raise ValueError(
                f"`monitor` must be one of {names}, got {self.monitor!r}; is it among the learner's metrics?"
            )
        if not self.stopping:
            self.stopping, self.reached = not hasattr(self, "lr_finder"), None
        self.started = time.perf_counter()

    def after_step(self):
        self.steps += 1

    def after_train(self):
        self.spent += time.perf_counter() - self.started

    def after_epoch(self):
        if not self.stopping:
            return
        value = self.learn.final_record[list(self.recorder.metric_names[1:]).index(self.monitor)]
        if value >= self.value if self.above else value <= self.value:
            self.reached = dict(epoch=self.epoch, opt_steps=self.steps, seconds=self.spent, value=value)
            raise CancelFitException(f"{self.monitor} reached {value:.4g}")
