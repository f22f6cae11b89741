"""Jumps of the loss, constant outputs, dead units, gradients, and states that are put back bit for bit."""

import random

import numpy as np
import pytest
import torch
from fastai.optimizer import Adam, OptimWrapper, ranger
from learners import same
from torch import nn

from siren_fastai.health.checkup import Checkup
from siren_fastai.health.losses import LossWatch, spikes
from siren_fastai.health.outputs import constant_channels, gradient_norm, unit_health
from siren_fastai.health.state import TrainingState, kept_random_state, random_state
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import OPTIMIZERS

# The loss


def stays(losses, **options) -> list[int]:
    """The steps at which a watch says that a jump stays."""
    watch = LossWatch(**options)
    return [step for step, loss in enumerate(losses) if watch.add(loss)]


def test_a_jump_that_stays_is_told_at_its_fifth_loss_and_a_spike_of_four_is_not():
    calm = [1.0] * 50
    assert stays(calm + [3.1] * 5 + calm)[0] == 54
    assert stays(calm + [1e9] * 4 + calm + [float("nan")] + calm) == []
    assert stays(calm + [2.9] * 50) == []


def test_the_run_is_compared_with_the_median_from_before_it():
    watch = LossWatch(window=20)
    for loss in [1.0] * 20 + [5.0] * 40:
        watch.add(loss)
    assert watch.median == 1.0 and len(watch.high) == 40
    watch.forget_run()
    assert watch.median == 1.0 and not watch.add(1.0)


def test_a_falling_loss_is_never_a_jump():
    assert stays(np.geomspace(1e3, 1e-9, 2000)) == []


def test_where_a_quarter_of_the_losses_is_high_by_chance_five_in_a_row_are_not_enough():
    rng = np.random.default_rng(0)
    assert stays(np.where(rng.random(20_000) < 0.25, 10.0, 1.0)) == []
    noisy = np.where(rng.random(300) < 0.25, 10.0, 1.0).tolist()
    assert stays(noisy + [10.0] * 30)


def test_losses_below_zero_and_around_it_are_judged_by_their_distance_from_the_median():
    rng = np.random.default_rng(0)
    assert stays(-5 + rng.normal(0, 0.3, 3000)) == []
    assert stays(rng.normal(0, 0.3, 3000)) == []
    assert stays([*(-5 + rng.normal(0, 0.3, 200)), *[6.0] * 5]) == [204]


def test_the_first_losses_are_no_jump_whatever_they_are():
    assert stays([1e-3, 1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1e3]) == []


@pytest.mark.parametrize("options", [dict(factor=1.0), dict(factor=float("inf")), dict(patience=0), dict(window=9)])
def test_settings_of_a_watch_that_cannot_work_are_errors(options):
    with pytest.raises(ValueError, match="`factor`|`patience`"):
        LossWatch(**options)


def test_spikes_are_the_single_steps():
    losses = [1.0] * 100
    losses[30], losses[60], losses[61] = 4.0, float("inf"), 5.0
    assert spikes(losses) == [30, 60, 61]


# Outputs


def test_constant_channels_are_those_that_do_not_vary_where_the_targets_do():
    outputs, targets = torch.rand(8, 3, 4, 4), torch.rand(8, 3, 4, 4)
    assert constant_channels(outputs, targets).tolist() == [False, False, False]
    outputs[:, 1] = 0.7
    assert constant_channels(outputs, targets).tolist() == [False, True, False]
    targets[:, 1] = 0.2
    assert constant_channels(outputs, targets).tolist() == [False, False, False]


def test_all_black_and_all_red_are_constant_in_every_channel():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(4, 3, 8, 8)
    for outputs in (torch.zeros(4, 3, 8, 8), red):
        assert constant_channels(outputs, torch.rand(4, 3, 8, 8)).all()


def test_a_class_for_every_sample_is_constant_only_if_all_outputs_are():
    outputs, classes = torch.randn(16, 4), torch.arange(16) % 4
    assert not constant_channels(outputs, classes).any()
    outputs[:, 0] = 1.0
    assert not constant_channels(outputs, classes).any()
    outputs[:] = torch.tensor([1.0, -2.0, 0.5, 0.0])
    assert constant_channels(outputs, classes).all()
    assert not constant_channels(outputs, torch.zeros(16, dtype=torch.long)).any()


def test_vectors_half_precision_and_single_samples_are_judged_or_left():
    assert constant_channels(torch.full((9,), 2.0), torch.randn(9, 1)).tolist() == [True]
    assert constant_channels(torch.zeros(9, 2).bfloat16(), torch.randn(9, 2)).all()
    assert not constant_channels(torch.zeros(1, 2), torch.randn(1, 2)).any()


def test_the_gradient_norm_is_that_of_one_long_vector():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model(torch.randn(5, 3)).square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert float(gradient_norm(model.parameters())) == pytest.approx(float(expected), rel=1e-5)
    assert float(gradient_norm(nn.Linear(2, 2).parameters())) == 0


def test_dead_and_saturated_units_are_counted():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.Sigmoid())
    with torch.no_grad():
        model[0].bias[:] = torch.tensor([-100.0, -100, -100, 100])
        model[2].weight.zero_()
        model[2].bias[:] = torch.tensor([20.0, 0, 0])
    health = unit_health(model, torch.rand(6, 2))
    assert health == {"dead_units": pytest.approx(0.75), "saturation": pytest.approx(1 / 3)}
    assert not any(module._forward_hooks for module in model.modules())


def test_a_network_without_such_units_has_no_shares():
    assert all(np.isnan(share) for share in unit_health(siren_model([2, 4, 1]), torch.rand(3, 2)).values())


# The judgement


def test_a_checkup_names_what_is_wrong():
    assert Checkup().look([1.0, float("nan")]) == "the loss was nan"
    assert Checkup().look([1.0], (), float("inf")) == "a gradient was inf"
    checkup = Checkup()
    assert checkup.look([0.5] * 20) is None and checkup.healthy and not checkup.suspicious
    assert checkup.look([9.0] * 3) is None and checkup.suspicious and not checkup.healthy
    assert checkup.look([9.0] * 2) == "the loss was above 3 times its median of 0.5 for 5 steps, last 9"


def test_outputs_must_have_varied_before_being_constant_is_a_fault():
    checkup = Checkup(patience=2)
    for _ in range(5):
        assert checkup.look([1.0], [True, True]) is None
    checkup.look([1.0], [True, False]), checkup.kept()
    assert checkup.look([1.0], [True, False]) is None and checkup.never_varied == "channel 0"
    assert checkup.look([1.0], [True, True]) is None and not checkup.healthy
    assert checkup.look([1.0], [True, True]).startswith("the outputs are constant in all 2 channels")


def test_with_a_scaler_losses_that_are_not_finite_are_faults_only_if_they_stay():
    checkup, nan = Checkup(), float("nan")
    assert checkup.look([1.0] * 99 + [nan] * 4, tolerant=True) is None
    assert checkup.look([1.0], gradient_norm=nan, tolerant=True) is None
    assert "for 5 steps" in checkup.look([nan] * 5, tolerant=True)


# States


def make(opt_func):
    model = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 2))
    return model, opt_func(list(model.parameters()), lr=1e-2)


def train(model, opt, steps):
    for _ in range(steps):
        model(torch.rand(8, 3)).sub(torch.rand(8, 2)).square().mean().backward()
        opt.step(), opt.zero_grad()


def wrapped_sgd(params, lr):
    return OptimWrapper(params, torch.optim.SGD, lr=lr, momentum=0.9)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "fastai", "wrapped"])
def test_training_from_a_restored_state_repeats_itself_bit_for_bit(name):
    model, opt = make({"fastai": Adam, "wrapped": wrapped_sgd, **OPTIMIZERS}[name])
    train(model, opt, 7)
    state, ends = TrainingState.of(model, opt, device="cpu"), []
    for _ in range(3):
        train(model, opt, 8)
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
        state.restore_(model, opt)
    assert same(ends[0], ends[1]) and same(ends[1], ends[2])


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_later_copy_uses_the_memory_of_an_earlier_one(device):
    model, opt = make(ranger)
    train(model, opt, 7)
    first = TrainingState.of(model, opt, device=device)
    places = [tensor.data_ptr() for tensor in first.tensors.values()]
    train(model, opt, 6)
    second = TrainingState.of(model, opt, device=device, into=first)
    assert [tensor.data_ptr() for tensor in second.tensors.values()] == places
    assert str(second.optimizer) == str(opt.state_dict()) and same(second.tensors, model.state_dict())
    end = {k: v.clone() for k, v in model.state_dict().items()}
    train(model, opt, 3)
    second.restore_(model, opt)
    assert same(end, model.state_dict())


def test_restoring_leaves_the_rates_as_they_are_now():
    for opt_func in (Adam, OPTIMIZERS["adam"]):
        model, opt = make(opt_func)
        state = TrainingState.of(model, opt)
        opt.set_hyper("lr", 3e-4)
        train(model, opt, 2)
        state.restore_(model, opt)
        assert [hyper["lr"] for hyper in opt.hypers] == [3e-4]


def test_a_network_that_has_changed_is_not_touched():
    model, opt = make(Adam)
    state = TrainingState.of(model, opt)
    model.register_buffer("mean", torch.zeros(2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="changed since it was copied: mean"):
        state.restore_(model, opt)
    assert same(before, model.state_dict())


def test_random_states_are_put_back():
    with kept_random_state():
        drawn = random.random(), np.random.rand(), torch.rand(2).tolist()
    assert drawn == (random.random(), np.random.rand(), torch.rand(2).tolist())
    assert random_state()["gpus"] is None or torch.cuda.is_initialized()
