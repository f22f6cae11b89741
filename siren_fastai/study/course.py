"""How a training of a study's experiment went: evaluations evenly over its samples, and the work between them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from fastai.callback.core import Callback, CancelValidException

from siren_fastai.callbacks.count_samples import CountSamples
from siren_fastai.data.share import samples_of_batch

__all__ = ["Course", "EvaluateEvenly", "clock_of"]


@dataclass(frozen=True)
class Course:
    """How training went: a row for each evaluation, and the samples, steps and seconds of all of it."""

    history: pd.DataFrame
    samples: int
    steps: int = 0
    seconds: float = 0.0


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return what counts the seconds of training: the processor's time, or the clock for a GPU."""
    return time.process_time if device.type == "cpu" else time.perf_counter


class EvaluateEvenly(Callback):
    """Call `evaluate` after the first step, then evenly over the samples, and after the last; epochs don't validate."""

    order = CountSamples.order - 1  # which ends the epoch with the last batch
    run_valid = False

    def __init__(
        self,
        evaluate: Callable[[], dict],  # what the history says of the model at this time
        max_samples: int,
        count: int,  # evaluations, 2 or more
        clock: Callable[[], float],  # in seconds; evaluations don't count
    ):
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
        """The history's columns that every experiment has."""
        work = dict(samples=self.seen, steps=self.steps, seconds=self.seconds)
        return work | dict(lr=self.opt.hypers[-1]["lr"], train_loss=self.loss.item())

    def course(
        self,
        columns: tuple[str, ...],  # of the history, which may be empty
    ) -> Course:
        """Return how training went so far."""
        return Course(pd.DataFrame(self.rows, columns=list(columns)), self.seen, self.steps, self.seconds)
