"""Diagnose: verdicts on the losses of a fit, one batch learned by heart, and the samples with the highest loss."""

import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat, MSELossFlat
from learners import Items, pixel_learner, plain_learner, quiet, same, tile_learner, weights
from torch import nn
from torch.nn.functional import mse_loss

from siren_fastai.callbacks.diagnose import Diagnose, overfit_batch
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.callbacks.worst_samples import sample_losses, worst_samples
from siren_fastai.health.verdicts import fit_verdict, memory_verdict, rate_verdict

FITS = {  # training and validation losses, from an untrained loss of 1
    "fine": ([0.5, 0.2, 0.1, 0.099], [0.5, 0.22, 0.12, 0.12]),
    "overfitting": ([0.5, 0.2, 0.1, 0.05], [0.5, 0.3, 0.4, 0.5]),
    "underfitting": ([0.9, 0.85, 0.84, 0.84], [0.9, 0.86, 0.85, 0.85]),
    "unfinished": ([0.5, 0.4, 0.3, 0.2], [0.5, 0.41, 0.31, 0.22]),
    "diverged": ([0.5, 0.4, 2.0, 9.0], [0.5, 0.4, 2.0, 9.0]),
    "too short": ([0.5], [0.5]),
}


@pytest.mark.parametrize("kind", FITS)
def test_a_fit_is_judged_by_its_losses(kind):
    assert fit_verdict(*FITS[kind], untrained=1.0).kind == kind


def test_a_gap_alone_and_losses_that_are_not_numbers_are_judged_too():
    assert fit_verdict([0.5, 0.1], [0.5, 0.3], 1.0).reason.startswith("the validation loss is 3.0 times")
    assert fit_verdict([0.5, float("nan")], [0.5, float("nan")], 1.0).kind == "diverged"
    assert fit_verdict([-1.0, -5.0, -5.01], [-1.0, -4.9, -4.9], 3.0).kind == "fine"


def test_more_than_a_hundredth_of_spikes_is_a_rate_that_is_too_high():
    losses = [1.0] * 200
    assert rate_verdict(losses).kind == "rate fine"
    for step in (50, 90, 130):
        losses[step] = 9.0
    verdict = rate_verdict(losses)
    assert verdict.kind == "rate too high" and "3 of 200 steps are spikes of the loss (50, 90, 130)" in verdict.reason


def test_a_batch_is_memorised_if_its_loss_falls_to_a_tenth():
    assert memory_verdict([1.0, 0.4, 0.09]).kind == "memorised"
    assert memory_verdict([1.0, 0.4, 0.2]).kind == memory_verdict([1.0, float("nan")]).kind == "not memorised"


# The callback


def test_the_training_loss_is_the_mean_over_the_samples_of_an_epoch(tmp_path):
    learn = pixel_learner(tmp_path, cbs=Diagnose(), bs=50, metrics=mean_error)
    learn.recorder.train_metrics = True
    learn.fit(3, 1e-3)
    found = learn.diagnose
    for name, losses in (("train_mean_error", found.train_losses), ("valid_loss", found.valid_losses)):
        column = list(learn.recorder.metric_names[1:]).index(name)
        assert losses == pytest.approx([row[column] for row in learn.recorder.values], rel=1e-5)
    assert len(found.step_losses) == 3 * len(learn.dls.train)


def test_verdicts_are_of_the_last_fit_and_ask_for_one(tmp_path):
    learn = plain_learner(tmp_path, cbs=Diagnose())
    learn.lr_find(num_it=6, show_plot=False), learn.validate()
    assert repr(learn.diagnose) == "Diagnose(no fit yet)"
    with pytest.raises(ValueError, match="`learn.fit` first"):
        learn.diagnose.verdicts  # noqa: B018  a property that raises
    learn.fit(2, 1e-2)
    first = learn.diagnose.first_loss
    learn.fit(30, 1e-2)
    learn.validate()
    assert len(learn.diagnose.train_losses) == 30 and learn.diagnose.first_loss == first
    assert [v.kind for v in learn.diagnose.verdicts] == [line.split(":")[0] for line in str(learn.diagnose).split("\n")]


def test_a_network_that_is_too_large_for_its_data_overfits_and_one_without_units_underfits(tmp_path):
    torch.manual_seed(0)
    x, y = torch.randn(40, 5), torch.randn(40, 1)
    loaders = [DataLoader(Items(zip(x[part], y[part], strict=True)), bs=20) for part in (slice(0, 20), slice(20, 40))]
    kinds = []
    for model in (nn.Sequential(nn.Linear(5, 200), nn.ReLU(), nn.Linear(200, 1)), nn.Linear(5, 1, bias=False)):
        learn = quiet(Learner(DataLoaders(*loaders, path=tmp_path), model, MSELossFlat(), cbs=Diagnose(), wd=0.0))
        learn.fit(120, 1e-2)
        kinds.append(learn.diagnose.verdicts[0].kind)
    assert kinds == ["overfitting", "underfitting"]


class OneOutlier(Callback):
    order = 30

    def after_loss(self):
        if self.training and self.iter == 1:
            self.learn.loss = self.loss * 1e9


def test_an_outlier_in_every_epoch_does_not_hide_that_the_rest_is_learned(tmp_path):
    learn = plain_learner(tmp_path, cbs=[Diagnose(), OneOutlier()])
    learn.fit(60, 1e-2)
    assert min(learn.diagnose.train_losses) > 1e6
    fit, rate = learn.diagnose.verdicts
    assert fit.kind in ("fine", "unfinished") and rate.kind == "rate too high"


# One batch


def everything(learn) -> list:
    """What `overfit_batch` must leave alone: weights, the optimiser, random states, and what the loader gives next."""
    state = None if learn.opt is None else str(learn.opt.state_dict())
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    return [weights(learn), state, states, learn.dls.train.rng.getstate(), learn.model.training]


@pytest.mark.parametrize("make", [plain_learner, pixel_learner])
def test_a_sound_network_learns_one_batch_by_heart(tmp_path, make):
    found = overfit_batch(make(tmp_path), steps=250, lr=1e-2)
    assert found.verdict.kind == "memorised" and len(found.losses) == 251, found


@pytest.mark.parametrize("make", [plain_learner, pixel_learner, tile_learner])
def test_the_learner_stays_as_it_is(tmp_path, make):
    learn = make(tmp_path, cbs=TrainingWheels())
    learn.fit(1, 1e-3)
    before = everything(learn)
    overfit_batch(learn, steps=3)
    after = everything(learn)
    assert same(before[0], after[0]) and before[1:] == after[1:]


def test_the_loader_goes_on_as_if_nothing_had_been_asked(tmp_path):
    batches = []
    for asked in (False, True):
        learn = plain_learner(tmp_path)
        if asked:
            overfit_batch(learn, steps=1)
        batches.append([y for _, y in learn.dls.train])
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))


def test_a_bottleneck_without_a_unit_that_works_does_not_memorise(tmp_path):
    learn = plain_learner(tmp_path)
    with torch.no_grad():
        learn.model[1].bias.fill_(-99)
    learn.model[1].requires_grad_(False)
    found = overfit_batch(learn, steps=60, lr=1e-2)
    assert found.verdict.kind == "not memorised" and "look for a bottleneck" in repr(found)


def test_a_batch_of_ones_own_and_settings_that_cannot_work(tmp_path):
    learn = plain_learner(tmp_path)
    batch = (torch.randn(4, 4), torch.randn(4, 2))
    losses = overfit_batch(learn, steps=3, batch=batch).losses
    learn.model.train()
    assert losses[0] == pytest.approx(mse_loss(learn.model(batch[0]), batch[1]).item(), rel=1e-5)
    with pytest.raises(ValueError, match="`steps`"):
        overfit_batch(learn, steps=0)


# The samples with the highest loss


def mean_error(outputs, targets):
    """A loss without `reduction`, as many are."""
    return (outputs - targets).square().mean()


@pytest.mark.parametrize("loss_func", [MSELossFlat(), nn.MSELoss(), mean_error])
def test_the_loss_of_each_sample_is_its_own(loss_func):
    outputs, targets = torch.randn(5, 3, 2), torch.randn(5, 3, 2)
    expected = (outputs - targets).square().mean((1, 2))
    assert torch.allclose(sample_losses(loss_func, outputs, (targets,)), expected)


def test_the_loss_of_each_class_is_its_own():
    outputs, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = -outputs.log_softmax(1)[torch.arange(5), targets]
    assert torch.allclose(sample_losses(CrossEntropyLossFlat(), outputs, (targets,)), expected)


def test_the_worst_samples_are_those_of_the_whole_loader_in_order(tmp_path):
    learn = plain_learner(tmp_path, cbs=Diagnose())
    learn.fit(2, 1e-2)
    learn.add_cb(ProgressCallback())
    rows, shown, before = list(learn.recorder.values), float(learn.recorder.smooth_loss.value), weights(learn)
    x, y = (torch.stack(v) for v in zip(*learn.dls.train_ds, strict=True))
    errors = (learn.model.eval()(x) - y).square().mean(1).detach()
    for ds_idx in (0, 1):
        found = worst_samples(learn, 5, ds_idx)
        assert found.loss == pytest.approx(errors.topk(5).values.tolist(), rel=1e-4)
        assert found.index == errors.topk(5).indices.tolist()
        assert torch.equal(found.inputs[0][0], x[found.index[0]])
    assert list(learn.recorder.values) == rows and same(before, weights(learn))
    assert float(learn.recorder.smooth_loss.value) == shown
    table = learn.diagnose.show_worst(3)
    assert list(table.columns) == ["index", "loss", "prediction", "target"] and len(table) == 3
    with pytest.raises(ValueError, match="`n` must be 1"):
        worst_samples(learn, 0)


def test_images_are_drawn_with_their_losses(tmp_path):
    learn = tile_learner(tmp_path, cbs=Diagnose())
    learn.fit(1, 1e-3)
    figure = learn.diagnose.show_worst(3)
    assert len(figure.axes) in (6, 9) and figure.axes[-1].get_xlabel().startswith("loss ")
    plt.close(figure)
