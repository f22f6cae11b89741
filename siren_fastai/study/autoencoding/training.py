"""Training a study's autoencoder for a number of samples, evaluated evenly over them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
from fastai.callback.core import Callback, CancelValidException
from fastai.callback.schedule import ParamScheduler, SchedCos
from fastai.callback.tracker import TerminateOnNaNCallback
from fastai.learner import Learner
from torch import nn

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.count_samples import CountSamples, epochs_for
from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.data.share import samples_of_batch
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.study.autoencoding.scores import HISTORY_COLUMNS

__all__ = ["Course", "train"]


@dataclass(frozen=True)
class Course:
    """How training went: HISTORY_COLUMNS, and the samples, steps and seconds of all of it."""

    history: pd.DataFrame
    samples: int
    steps: int = 0
    seconds: float = 0.0


class _Evaluate(Callback):
    """Call `evaluate` after the first step, then evenly over the samples, and after the last; epochs don't validate."""

    order = CountSamples.order - 1  # which ends the epoch with the last batch
    run_valid = False

    def __init__(self, evaluate: Callable[[], dict], max_samples: int, count: int, clock: Callable[[], float]):
        self.marks = [1 + (max_samples - 1) * i / (count - 1) for i in range(count)]
        self.evaluate, self.clock, self.rows = evaluate, clock, []
        self.seen = self.steps = 0
        self.seconds = 0.0

    def before_train(self):
        self.started = self.clock()

    def after_batch(self):
        self.seen, self.steps = self.seen + samples_of_batch(self.learn), self.steps + 1
        if self.seen < self.marks[0]:
            return
        self.seconds += self.clock() - self.started
        self.marks = [mark for mark in self.marks if mark > self.seen]
        self.rows.append({**self.so_far(), **self.evaluate()})
        self.started = self.clock()

    def after_train(self):
        self.seconds += self.clock() - self.started

    def before_validate(self):
        raise CancelValidException

    def so_far(self) -> dict:
        work = dict(samples=self.seen, steps=self.steps, seconds=self.seconds)
        return work | dict(lr=self.opt.hypers[-1]["lr"], train_loss=self.loss.item())


def train(
    settings: Mapping,  # complete
    dls: PictureDataLoaders,
    model: Autoencoder,  # trained in place
    evaluate: Callable[[], dict],  # what the history says of the model at this time
) -> Course:
    """Train for `max_samples`.

    Seconds are the processor's, without evaluations; on a GPU, the clock's. A loss that is not a number ends the fit.
    """
    most, clock = settings["max_samples"], time.process_time if dls.device.type == "cpu" else time.perf_counter
    watch = _Evaluate(evaluate, most, settings["evaluations"], clock)
    cbs = [CountSamples(most), watch, TerminateOnNaNCallback()]
    cbs += [CodeSpread(settings["spread"])] if settings["spread"] else []
    cbs += [ParamScheduler({"lr": SchedCos(settings["lr"], 0.0)})] if settings["schedule"] == "cosine" else []
    loss = nn.L1Loss() if settings["loss"] == "l1" else nn.MSELoss()
    options = dict(opt_func=OPTIMIZERS[settings["optimizer"]], lr=settings["lr"], wd=settings["wd"], cbs=cbs)
    learn = Learner(dls, model, loss, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs_for(most, dls.train))
    return Course(pd.DataFrame(watch.rows, columns=list(HISTORY_COLUMNS)), watch.seen, watch.steps, watch.seconds)
