"""TrainingWheels: what it reverts and what it leaves alone, bit by bit."""

import copy
import math
import re

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException, CancelStepException
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.schedule import combined_cos
from fastai.callback.tracker import SaveModelCallback
from fastai.callback.training import GradientAccumulation
from fastai.learner import load_learner
from fastai.optimizer import Adam, ranger
from learners import pixel_learner, plain_learner, same, weights
from torch import nn

from siren_fastai.callbacks.learner_state import LearnerState
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.optimizers import muon

EPOCHS, AT = 24, 45  # of three batches each; the step of the fault


class InjectFault(Callback):
    """Does something to the learner at one step, or several, of the first fit."""

    order = 30  # before the wheels

    def __init__(self, event, act, steps=(AT,)):
        self.when, self.act, self.steps, self.done = event, act, steps, 0

    def before_batch(self):
        self._perhaps("before_batch")

    def after_loss(self):
        self._perhaps("after_loss")

    def before_step(self):
        self._perhaps("before_step")

    def _perhaps(self, event):
        if self.training and event == self.when and self.train_iter in self.steps and self.done < len(self.steps):
            self.done += 1
            self.act(self.learn)


class Trace(Callback):
    """Keeps what was in the network when each loss was known, and looks at it after a revert."""

    order = TrainingWheels.order + 1

    def before_fit(self):
        self.states, self.rates, self.compared = [], [], len(self.training_wheels.reverts)

    def after_loss(self):
        if self.training:
            self.states.append(copy.deepcopy((weights(self.learn), self.opt.state_dict()["state"])))

    def after_batch(self):
        if self.training:
            self.rates.append(self.opt.hypers[-1]["lr"])
            rows = self.training_wheels.reverts
            if len(rows) > self.compared:
                network, optimizer = self.states[rows[-1]["restored_step"]]
                assert same(network, weights(self.learn))
                assert str(optimizer) == str(self.opt.state_dict()["state"])
                self.compared += 1


def multiply_rate(learn):
    learn.opt.set_hyper("lr", [1e4 * hyper["lr"] for hyper in learn.opt.hypers])


def put_nan_in_a_weight(learn):
    with torch.no_grad():
        learn.model[0].weight[0, 0] = math.nan


def put_nan_in_a_gradient(learn):
    learn.model[0].weight.grad[0, 0] = math.nan


def make_loss_nan(learn):
    learn.loss_grad = learn.loss_grad * math.nan
    learn.loss = learn.loss_grad.detach().clone()


def kill_outputs(learn):
    """Hidden units that are never above 0, so that nothing reaches the outputs, and no gradient the weights."""
    with torch.no_grad():
        learn.model[1].weight.zero_()
        learn.model[1].bias.fill_(-1)


def make_sample_an_outlier(learn):
    learn.loss = learn.loss * 1e6


FAULTS = {
    "rate spike": ("before_step", multiply_rate, "times its median"),
    "nan weight": ("before_batch", put_nan_in_a_weight, "the loss was nan"),
    "nan gradient": ("before_step", put_nan_in_a_gradient, "nan"),
    "nan loss": ("after_loss", make_loss_nan, "the loss was nan"),
    "dead output": ("before_batch", kill_outputs, "constant|times its median"),
}


def learner_with(tmp_path, *cbs, make=plain_learner, opt_func=Adam, **options):
    options = dict(every=10, check=5) | options
    return make(tmp_path, cbs=[TrainingWheels(**options), *cbs], opt_func=opt_func)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("method", ["fit", "fit_one_cycle"])
def test_a_fault_has_one_revert_to_the_same_bits_and_the_loss_comes_back(tmp_path, capsys, name, method):
    event, act, reason = FAULTS[name]
    learn = learner_with(tmp_path, InjectFault(event, act), Trace())
    clean = plain_learner(tmp_path)
    getattr(learn, method)(EPOCHS, 1e-2), getattr(clean, method)(AT // 3, 1e-2)
    (row,) = learn.training_wheels.reverts
    assert re.search(reason, row["reason"]) and learn.trace.compared == 1
    assert AT - 15 <= row["restored_step"] <= AT <= row["step"] <= AT + 10
    assert math.isfinite(learn.recorder.losses[-1])
    assert learn.validate()[0] <= clean.validate()[0]
    assert capsys.readouterr().out.startswith(f"TrainingWheels: {row['reason']} (step {row['step']}): back to step")


def test_constant_outputs_alone_are_a_fault_and_the_row_says_what_was_seen(tmp_path):
    learn = learner_with(tmp_path, InjectFault("before_batch", kill_outputs), factor=1e9)
    learn.fit(EPOCHS, 1e-2)
    (row,) = learn.training_wheels.reverts
    assert row["reason"] == "the outputs are constant in all 2 channels although the targets vary"
    assert 0 <= row["dead_units"] <= 1 and math.isnan(row["saturation"]) and row["gradient_norm"] > 0
    assert row["lr"] == pytest.approx(5e-3)
    assert learn.training_wheels.to_frame().iloc[0].to_dict().keys() == row.keys()


def test_the_lowered_rate_survives_the_schedule_for_the_rest_of_the_fit_and_no_longer(tmp_path):
    learn = learner_with(tmp_path, InjectFault("before_batch", put_nan_in_a_weight), Trace(), lr_factor=0.25)
    learn.fit_one_cycle(EPOCHS, 1e-2)
    schedule, after = combined_cos(0.25, 1e-2 / 25, 1e-2, 1e-7), learn.training_wheels.reverts[0]["step"]
    expected = [schedule(step / (3 * EPOCHS)) * (0.25 if step >= after else 1) for step in range(3 * EPOCHS)]
    assert learn.trace.rates == pytest.approx(expected, rel=1e-6)
    learn.fit(1, 3e-3)
    assert learn.trace.rates == [3e-3] * 3


def test_without_a_schedule_each_revert_lowers_the_rate_of_the_copy(tmp_path):
    learn = learner_with(tmp_path, InjectFault("before_batch", put_nan_in_a_weight, (AT, AT + 6)), every=40)
    learn.fit(EPOCHS, [4e-3])
    assert [row["restored_step"] for row in learn.training_wheels.reverts] == [40, 40]
    assert [row["lr"] for row in learn.training_wheels.reverts] == pytest.approx([2e-3, 1e-3])
    assert learn.opt.hypers[-1]["lr"] == pytest.approx(1e-3)


@pytest.mark.parametrize("lr", [1e-3, 1e-2])
@pytest.mark.parametrize("make", [plain_learner, pixel_learner])
def test_a_healthy_fit_has_no_revert_and_the_weights_that_it_would_have_anyway(tmp_path, make, lr):
    ends = []
    for cbs in ([], [TrainingWheels(every=7, check=3)]):
        learn = make(tmp_path, cbs=cbs)
        learn.fit_one_cycle(EPOCHS, lr)
        ends.append(weights(learn))
    assert same(*ends) and learn.training_wheels.reverts == []


class StopAfter(Callback):
    """Ends a fit after some epochs, as fastai's EarlyStoppingCallback does."""

    def __init__(self, epochs):
        self.epochs = epochs

    def after_epoch(self):
        if self.epoch == self.epochs - 1:
            raise CancelFitException()


@pytest.mark.parametrize("check", [5, 11])  # 11: the last step is read too, but not what comes of it
@pytest.mark.parametrize("stop_early", [False, True])
@pytest.mark.parametrize(
    ("event", "act", "reason"),
    [
        ("before_batch", put_nan_in_a_weight, "the loss was nan"),
        ("before_step", put_nan_in_a_gradient, "a weight isn't finite after the last step"),
    ],
)
def test_a_fault_in_the_last_step_is_reverted_although_no_check_follows(
    tmp_path, event, act, reason, stop_early, check
):
    learn = learner_with(tmp_path, InjectFault(event, act, (11,)), check=check)
    if stop_early:
        learn.add_cb(StopAfter(4))
    learn.fit(6 if stop_early else 4, 1e-2)
    (row,) = learn.training_wheels.reverts
    copied = {5: 10, 11: 11 if event == "before_step" else 0}[check]
    reason = "a weight isn't finite after the last step" if stop_early and check == 5 else reason
    assert (row["reason"], row["step"], row["restored_step"]) == (reason, 11, copied)
    assert all(parameter.isfinite().all() for parameter in learn.model.parameters())
    assert stop_early or math.isfinite(learn.recorder.values[-1][-1])  # of validation


def test_the_best_network_of_a_fit_that_ended_early_is_kept(tmp_path):
    fault = InjectFault("after_loss", make_loss_nan, (11,))
    wheels = TrainingWheels(every=10, check=5)
    learn = plain_learner(tmp_path, cbs=[SaveModelCallback(), fault, StopAfter(4), wheels], opt_func=Adam)
    learn.fit(6, 1e-2)
    assert not learn.training_wheels.reverts
    kept = {name: value.clone() for name, value in weights(learn).items()}
    learn.load("model", with_opt=False)
    assert same(kept, weights(learn)) and all(value.isfinite().all() for value in kept.values())


def test_an_outlier_is_no_fault_even_if_it_comes_again(tmp_path):
    steps = (AT, AT + 1, AT + 2, AT + 3, AT + 20)
    learn = learner_with(tmp_path, InjectFault("after_loss", make_sample_an_outlier, steps))
    learn.fit(EPOCHS, 1e-2)
    assert learn.inject_fault.done == 5 and learn.training_wheels.reverts == []


def test_too_many_reverts_restore_the_network_and_end_in_an_error(tmp_path):
    learn = learner_with(
        tmp_path, InjectFault("before_batch", put_nan_in_a_weight, range(AT, 999)), Trace(), reverts=2, every=30
    )
    with pytest.raises(RuntimeError, match=r"after 2 reverts.*back at step 30.*clip gradients"):
        learn.fit(EPOCHS, 1e-2)
    assert len(learn.training_wheels.reverts) == 3
    assert same(learn.trace.states[30][0], weights(learn))
    learn.fit(2, 1e-3)
    assert len(learn.training_wheels.reverts) == 3 and learn.training_wheels.fits == 2


def test_without_a_healthy_state_to_begin_with_the_fit_ends_in_an_error(tmp_path):
    learn = learner_with(tmp_path)
    put_nan_in_a_weight(learn)
    with pytest.raises(RuntimeError, match="the loss was nan, and there is no healthy state"):
        learn.fit(1, 1e-2)


def test_outputs_that_are_constant_from_the_start_are_a_warning(tmp_path):
    learn = learner_with(tmp_path, window=20)
    kill_outputs(learn)
    with pytest.warns(UserWarning, match="constant in all 2 channels when the fit began and still are after 20"):
        learn.fit(12, 1e-2)
    assert learn.training_wheels.reverts == []


def test_there_is_one_copy_at_most_and_none_after_the_fit(tmp_path, monkeypatch):
    learn, taken = learner_with(tmp_path, every=2, check=1), []
    new = LearnerState.__init__

    def counted(state, *args):
        taken.append(learn.training_wheels.healthy is None)
        new(state, *args)

    monkeypatch.setattr(LearnerState, "__init__", counted)
    learn.fit(5, 1e-2)
    assert len(taken) == 8 and all(taken) and learn.training_wheels.healthy is None


class CtrlC(Callback):
    order = 99

    def after_batch(self):
        if self.training and self.train_iter == 20:
            put_nan_in_a_weight(self.learn)
            raise KeyboardInterrupt


def test_after_ctrl_c_the_copy_can_be_put_back_and_is_not_exported(tmp_path):
    learn = learner_with(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(EPOCHS, 1e-2, cbs=CtrlC())
    learn.export("learner.pkl")
    assert load_learner(tmp_path / "learner.pkl").training_wheels.healthy is None
    learn.training_wheels.restore()
    assert all(value.isfinite().all() for value in weights(learn).values())
    learn.fit(2, 1e-3)
    with pytest.raises(ValueError, match="no healthy copy"):
        learn.training_wheels.restore()


@pytest.mark.parametrize("opt_func", [ranger, muon])
def test_optimisers_with_slow_weights_or_groups_of_their_own_are_restored(tmp_path, opt_func):
    learn = learner_with(tmp_path, InjectFault("before_batch", put_nan_in_a_weight), opt_func=opt_func)
    learn.fit_one_cycle(EPOCHS, 5e-3)
    assert len(learn.training_wheels.reverts) == 1
    assert all(value.isfinite().all() for value in weights(learn).values())


def test_accumulated_gradients_begin_again_after_a_revert(tmp_path):
    learn = learner_with(tmp_path, InjectFault("before_batch", put_nan_in_a_weight), GradientAccumulation(32), Trace())
    learn.fit(EPOCHS, 1e-2)
    assert len(learn.training_wheels.reverts) == learn.trace.compared == 1
    assert math.isfinite(learn.validate()[0])


class SkippingScaler(torch.amp.GradScaler):
    """A scaler that works without a GPU, and finds inf in one step."""

    def __init__(self):
        super().__init__("cpu", init_scale=8.0)


@pytest.mark.parametrize("patience, reverts", [(5, 0), (2, 1)])
def test_steps_that_a_scaler_skips_are_no_fault_unless_the_loss_stays_nan(tmp_path, patience, reverts):
    learn = learner_with(tmp_path, patience=patience, window=100)
    learn.add_cb(CpuScaler())
    learn.add_cb(InjectFault("after_loss", make_loss_nan, (AT, AT + 1, AT + 2)))
    learn.fit(EPOCHS, 1e-2)
    assert learn.cpu_scaler.skips >= 2 and len(learn.training_wheels.reverts) == reverts
    assert all(value.isfinite().all() for value in weights(learn).values())


class CpuScaler(Callback):
    """What fastai's `MixedPrecision` does with the scaler of gradients, on a processor and without autocast."""

    order = MixedPrecision.order

    def before_fit(self):
        self.learn.scaler, self.skips = SkippingScaler(), 0

    def before_backward(self):
        self.learn.loss_grad = self.scaler.scale(self.loss_grad)

    def before_step(self):
        self.skipped = True
        self.scaler.step(self)
        self.skips += self.skipped
        self.scaler.update()
        if self.skipped:
            raise CancelStepException

    @property
    def param_groups(self):
        return self.opt.param_groups

    def step(self):
        self.skipped = False


def test_what_the_network_calls_its_scaler_is_no_scaler_of_gradients(tmp_path):
    learn = learner_with(tmp_path, InjectFault("before_batch", put_nan_in_a_weight))
    learn.model.scaler = nn.Identity()
    learn.fit(EPOCHS, 1e-2)
    assert len(learn.training_wheels.reverts) == 1


def test_clipping_bounds_each_step_of_plain_descent(tmp_path):
    class Norms(Callback):
        order = 98

        def before_step(self):
            self.largest = max(getattr(self, "largest", 0.0), float(nn.utils.get_total_norm(grads(self.model))))

    def grads(model):
        return [p.grad for p in model.parameters()]

    learn = learner_with(tmp_path, Norms(), clip=0.01)
    learn.fit(2, 1e-2)
    assert 0 < learn.norms.largest <= 0.01 * 1.001


ERRORS = [
    (dict(every=0), "`every` must be an integer of 1 or more, got 0"),
    (dict(check=2.5), "`check`"),
    (dict(reverts=-1), "`reverts`"),
    (dict(lr_factor=2), "`lr_factor` must be above 0 and at most 1"),
    (dict(clip=0), "`clip`"),
    (dict(keep="gpu"), "`keep` must be"),
    (dict(factor=0.5), "`factor`"),
    (dict(patience=60), "`patience`"),
]


@pytest.mark.parametrize("options, words", ERRORS)
def test_settings_that_cannot_work_are_errors_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        TrainingWheels(**options)
