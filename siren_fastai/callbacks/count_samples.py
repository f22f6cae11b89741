"""Samples as the unit of training: how many were seen, and fits that end after a given number."""

import math

from fastai.callback.core import Callback, CancelFitException, CancelTrainException

from siren_fastai.data.indexed import checked_count
from siren_fastai.data.share import samples_of_batch

__all__ = ["CountSamples", "epochs_for"]


class CountSamples(Callback):
    """Count the samples that training has seen, as `learn.samples`, and end a fit after `max_samples` of them.

    `learn.samples` counts the samples of all processes, over all fits that had this callback; `max_samples` those of
    one fit. The batch that reaches it is the last one: the epoch ends there and is validated like any other. fastai's
    schedules then run over `max_samples` instead of the epochs, so that
    `learn.fit_one_cycle(10, cbs=CountSamples(50_000))` is one whole cycle if ten epochs have as many samples.
    `lr_find` counts nothing. `MetricHistory` has the column `samples_seen`.
    """

    order = 70  # after fastai's own (65 at most): they must see the batch that ends the fit

    def __init__(
        self,
        max_samples: int | None = None,  # of one fit; None counts only
    ):
        self.max_samples = None if max_samples is None else checked_count("max_samples", max_samples)
        self.before = self.of_fit = 0

    def before_fit(self):
        self.before, self.of_fit, self.counting = getattr(self.learn, "samples", 0), 0, not hasattr(self, "lr_finder")
        self.learn.samples = self.before

    def before_train(self):
        self._tell_schedules()

    def after_batch(self):
        if not (self.training and self.counting):
            return
        self.of_fit += samples_of_batch(self.learn)
        self.learn.samples = self.before + self.of_fit
        self._tell_schedules()
        if self.reached:
            raise CancelTrainException

    @property
    def reached(self) -> bool:
        """Whether this fit has seen `max_samples`."""
        return self.max_samples is not None and self.of_fit >= self.max_samples

    def after_cancel_train(self):
        if self.reached:
            self.recorder.cancel_train = False  # or the epoch's row would lack its training loss

    def after_epoch(self):
        if self.counting and self.reached:
            raise CancelFitException

    def _tell_schedules(self):
        if self.counting and self.max_samples is not None:
            self.learn.pct_train = min(1.0, self.of_fit / self.max_samples)


def epochs_for(
    max_samples: int,  # samples to train on
    dl,  # the training loader
) -> int:
    """Return the epochs of a loader that have at least `max_samples`. Raises: ValueError for a loader without any."""
    per_epoch = len(dl) * dl.bs if dl.drop_last else dl.n
    if not per_epoch:
        raise ValueError("there are no samples to train on: give the learner DataLoaders with some")
    return math.ceil(checked_count("max_samples", max_samples) / per_epoch)
