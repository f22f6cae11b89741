"""Several fits of a study in one stack: rows and files are those that each fit would have alone, up to rounding."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.data import PixelDataLoaders
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.stacks.history import StackHistory
from siren_fastai.stacks.learner import StackLearner, stack_learner
from siren_fastai.study.fitting.network import Network
from siren_fastai.study.fitting.run import Course, prepare, score, write_fit
from siren_fastai.study.fitting.training import fit_by_schedule, recorders

__all__ = ["run_fits"]


def run_fits(
    settings: Sequence[Mapping],  # complete, differing in `STACK_VARYING` alone
    folders: Sequence[Path],  # one for each, for `history.csv`
) -> list[dict]:
    """Fit all in one stack, and return the rows of the study's table.

    Seconds are a fit's share: those of the stack divided by its networks, whose number is in the column `stacked`. A
    fit that diverges ends there in its row and its history, and the others go on.
    Raises: ValueError for networks or data of different shapes.
    """
    images, loaders, networks = zip(*map(prepare, settings), strict=True)
    learn = _train(settings, loaders, networks)
    finite, rows = learn.stack_history.finite_steps.tolist(), []
    for i, (own, folder) in enumerate(zip(settings, folders, strict=True)):
        single = learn.single(i)
        course = _course(learn.metric_history, learn.stack_history, i, finite[i])
        fitted = score(own, single, replace(networks[i], model=single.model), images[i], course)
        write_fit(fitted, own, folder)
        rows.append(fitted.row)
    return rows


def _train(
    settings: Sequence[Mapping], loaders: Sequence[PixelDataLoaders], networks: Sequence[Network]
) -> StackLearner:
    first, rates = settings[0], [own["lr"] for own in settings]
    _, cbs = recorders(first, loaders[0])
    options = dict(opt_func=OPTIMIZERS[first["optimizer"]], lr=rates, wd=first["wd"], cbs=cbs)
    learn = stack_learner(loaders, [network.model for network in networks], **options)
    fit_by_schedule(learn, first, loaders[0])
    return learn


def _course(whole: MetricHistory, each: StackHistory, index: int, finite: int) -> Course:
    """What the history of one network would be alone: it would end at a loss that is infinite or NaN."""
    rows, total = [row for row in each.rows if row["network"] == index], len(each.batches)
    bad = [row["opt_steps"] for row in rows if not math.isfinite(row["valid_loss"])]
    if bad and bad[0] <= finite:  # found by the evaluation, which then leaves no row
        steps, samples, last = bad[0], bad[0], bad[0] - 1
    else:  # found by a step, which is taken, but not counted among the samples
        steps, samples, last = min(finite + 1, total), finite, finite
    kept = [row for row in rows if row["opt_steps"] <= last]
    epochs = sum(row["opt_steps"] <= last for row in whole.rows)
    together = len(each.learn.rates)
    seconds = whole.train_seconds / together * steps / total
    return Course(kept, epochs, steps, sum(each.batches[:samples]), seconds, together)
