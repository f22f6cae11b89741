"""Fits of a study in one stack have the rows and the histories that they have alone."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback

from siren_fastai.stacks.learner import StackLearner
from siren_fastai.study.experiments.fit import EXPERIMENT
from siren_fastai.study.fitting import together, training
from siren_fastai.study.fitting.training import recorders

pytestmark = pytest.mark.numerics

TINY = dict(size=16, hidden=[16, 16], bs=100, epochs=5, evaluations=3, levels=[10, 12, 99])
DIFFERENT = [
    dict(seed=1, scheme=33, lr=2e-3),
    dict(seed=2, scheme=20, lr=4e-3),
    dict(seed=0, lr=1e-3, image="camera"),
    dict(seed=3, scheme=1, lr=1e-3, omega_0=20, first_bias=0.1),
]


def together_and_alone(folder, several, **shared):
    settings = [EXPERIMENT.complete({**TINY, **shared, **own}) for own in several]
    found = []
    for name in ("together", "alone"):
        folders = [folder / name / str(i) for i in range(len(several))]
        for path in folders:
            path.mkdir(parents=True)
        if name == "together":
            rows = EXPERIMENT.together.run(settings, folders)
        else:
            rows = [EXPERIMENT.run(*pair) for pair in zip(settings, folders, strict=True)]
        found.append((rows, [pd.read_csv(path / "history.csv") for path in folders]))
    return found


def assert_same_row(ours, theirs):
    assert list(ours) == list(theirs)
    for column, value in theirs.items():
        if "second" in column or column == "stacked":
            continue
        if value is None or isinstance(value, bool):
            assert ours[column] is value, column
        else:
            assert ours[column] == pytest.approx(value, rel=0.01), column


@pytest.mark.parametrize(
    "shared",
    [
        {},
        dict(schedule="flat_cos", wd=0.01, optimizer="adamw"),
        dict(schedule="constant", freeze=[0]),
        dict(held_out=0.25, order="serpentine", schedule="one_cycle"),
        dict(off_grid=True),
        dict(coreset=0.5),
        dict(final="activated", coords="hilbert"),
    ],
    ids=lambda shared: next(iter(shared), "plain"),
)
def test_rows_and_histories_are_those_of_single_fits(tmp_path, shared):
    several = [own for own in DIFFERENT if "final" not in shared or own.get("scheme") != 20]
    (rows, histories), (expected, expected_histories) = together_and_alone(tmp_path, several, color="gray", **shared)
    for ours, theirs in zip(rows, expected, strict=True):
        assert_same_row(ours, theirs)
        assert (ours["stacked"], theirs["stacked"]) == (len(several), 1)
    for ours, theirs in zip(histories, expected_histories, strict=True):
        np.testing.assert_allclose(ours.drop(columns="seconds"), theirs.drop(columns="seconds"), rtol=0.01)


class Spoil(Callback):
    """After some step, make every weight of the fit of seed 1 infinite, alone or in a stack as the second network."""

    def __init__(self, seed, step):
        self.seed, self.step = seed, step

    def after_step(self):
        if self.metric_history.opt_steps + 1 == self.step:  # this callback is asked first
            for parameter in self.learn.model.parameters():
                if isinstance(self.learn, StackLearner):
                    parameter.data[1] = math.inf
                elif self.seed == 1:
                    parameter.data.fill_(math.inf)


@pytest.mark.parametrize("step", [1, 6, 7, 9, 14, 15])  # three steps are an epoch; the epochs 1, 3 and 5 are evaluated
def test_a_fit_that_diverges_ends_as_it_would_alone_and_the_others_go_on(tmp_path, monkeypatch, step):
    def spoiled(settings, dls):
        history, own = recorders(settings, dls)
        return history, [*own, Spoil(settings["seed"], step)]

    for module in (training, together):
        monkeypatch.setattr(module, "recorders", spoiled)
    several = [dict(seed=seed, lr=1e-3 * (seed + 1)) for seed in range(3)]
    (rows, histories), (expected, expected_histories) = together_and_alone(tmp_path, several)
    assert [row["diverged"] for row in expected] == [False, True, False]
    for ours, theirs, history, other in zip(rows, expected, histories, expected_histories, strict=True):
        assert_same_row(ours, theirs)
        assert list(history["steps"]) == list(other["steps"])


def test_a_rate_that_is_far_too_high_ends_one_fit_alone(tmp_path):
    several = [dict(lr=lr) for lr in (1e-3, 1e37)]
    (rows, _), (expected, _) = together_and_alone(tmp_path, several, activation="relu", schedule="constant")
    assert [row["diverged"] for row in rows] == [False, True]
    for ours, theirs in zip(rows, expected, strict=True):
        assert_same_row(ours, theirs)


def test_which_fits_can_share_a_stack():
    suits = EXPERIMENT.together.suits
    assert suits(EXPERIMENT.complete(TINY)) and suits(EXPERIMENT.complete({**TINY, "freeze": [0]}))
    for other in (
        dict(optimizer="ranger"),
        dict(clusters=2),
        dict(mean_color=True),
        dict(pictures=True),
    ):
        assert not suits(EXPERIMENT.complete({**TINY, **other}))


@pytest.mark.parametrize(
    "settings, size",
    [
        (dict(), 12),
        (dict(hidden=[128, 128]), 12),
        (dict(hidden=[64], mult=4), 1),
        (dict(hidden=[64], bs="full", size=64), 1),
        (dict(hidden=[32], bs="full", size=64), 12),
        (dict(total_bytes=4000), 1),
    ],
)
def test_on_a_cpu_small_fits_are_best_run_in_a_stack(settings, size):
    assert EXPERIMENT.together.best(EXPERIMENT.complete({**TINY, "bs": 1024, **settings})) == size


def test_on_a_gpu_a_stack_is_as_large_as_the_memory_for_its_activations(monkeypatch):
    monkeypatch.setattr("siren_fastai.fits.devices.device_of", torch.device)
    best = EXPERIMENT.together.best
    whole = {**EXPERIMENT.complete(TINY), "device": "cuda"}
    assert best(whole) == 128
    large = {**whole, "hidden": [256] * 5, "size": 512, "bs": 8192}
    assert best(large) == 2**32 // (4 * 5 * 256 * 2 * 2**14)  # an evaluation takes 2^14 pixels at a time
    assert best({**large, "bs": "full"}) == 1 and best({**large, "bs": "full", "size": 224}) == 5
