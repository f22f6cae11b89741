"""The penalty on the spread of codes: its formula, and the callback that adds it to a loss."""

import math

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from learners import plain_learner, weights
from torch import nn

from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.spread import code_spread


def by_hand(codes, std=0.5, mean=0.0):
    """The note's formula, in plain Python."""
    n, columns = len(codes), list(zip(*codes.tolist(), strict=True))
    stds = [math.sqrt(sum((x - sum(c) / n) ** 2 for x in c) / (n - 1)) for c in columns]
    of_all = sum(map(sum, columns)) / (n * len(columns))
    return abs(std - sum(stds) / len(stds)), abs(mean - of_all)


def test_the_parts_are_those_of_the_formula():
    codes = torch.randn(7, 5) * 2 + 0.3
    assert [float(part) for part in code_spread(codes)] == pytest.approx(by_hand(codes), rel=1e-5)
    other = [float(part) for part in code_spread(codes, 1.5, -1.0)]
    assert other == pytest.approx(by_hand(codes, 1.5, -1.0), rel=1e-5)


def test_codes_as_they_should_be_have_no_spread_and_others_move_towards_it():
    codes = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]) * 0.5 / math.sqrt(2)
    assert [float(part) for part in code_spread(codes)] == pytest.approx([0, 0], abs=1e-6)
    codes = (torch.randn(20, 4) * 0.1 + 1).requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.01)
    for _ in range(500):
        loss = sum(code_spread(codes))
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert [codes.std(0).mean().item(), codes.mean().item()] == pytest.approx([0.5, 0], abs=0.05)


def test_a_single_code_has_no_standard_deviation_and_no_nan():
    codes = torch.full((1, 3), 2.0, requires_grad=True)
    std_part, mean_part = code_spread(codes)
    (std_part + mean_part).backward()
    assert (std_part.item(), mean_part.item()) == (0, 2) and codes.grad.isfinite().all()


@pytest.mark.parametrize("codes", [torch.ones(3, 2, dtype=torch.long), [[1.0]], None])
def test_codes_must_be_floats(codes):
    with pytest.raises(TypeError, match="`codes` must be a float tensor"):
        code_spread(codes)


@pytest.mark.parametrize("shape", [(3,), (), (0, 4)])
def test_codes_must_be_a_batch(shape):
    with pytest.raises(ValueError, match="`codes` must be"):
        code_spread(torch.ones(shape))


class Keep(Callback):
    """Keep the loss and the first layer's output of every training batch, as they are before the step."""

    order = 100

    def before_fit(self):
        self.found = []

    def after_loss(self):
        if self.training:
            codes, loss = self.model[0](self.xb[0]), self.loss_func(self.pred, *self.yb)
            self.found.append([float(value.detach()) for value in (loss, *code_spread(codes), self.loss_grad)])


def spread_learner(path, weight=0.1, of="0"):
    return plain_learner(path, cbs=[CodeSpread(weight, of), MetricHistory(), Keep()])


def test_the_training_loss_has_the_spread_and_the_table_its_parts(tmp_path):
    learn = spread_learner(tmp_path)
    learn.fit(1, 1e-2)
    loss, std_part, mean_part, whole = torch.tensor(learn.keep.found).mean(0).tolist()
    assert whole == pytest.approx(loss + 0.1 * (std_part + mean_part), rel=1e-5)
    row = learn.metric_history.rows[0]
    parts = [row[f"loss_{name}"] for name in ("reconstruction", "batch_std", "batch_mean")]
    assert parts == pytest.approx([loss, std_part, mean_part], rel=1e-5)
    (valid_loss,) = learn.validate()[:1]
    assert row["valid_loss"] == pytest.approx(valid_loss, rel=1e-6) and "loss" not in learn.recorder.metric_names


def test_gradients_are_those_of_the_loss_with_the_spread(tmp_path):
    learn = spread_learner(tmp_path, 0.3)
    learn.create_opt()
    learn.model.train()
    xb, yb = learn.dls.train.one_batch()
    (learn.loss_func(learn.model(xb), yb) + 0.3 * sum(code_spread(learn.model[0](xb)))).backward()
    expected = learn.model[0].weight.grad.clone()
    learn.model.zero_grad()
    found = []

    class Look(Callback):
        def before_step(self):
            found.append(self.model[0].weight.grad.clone())
            raise CancelFitException

    learn.dls.train.one_batch, batches = None, [(xb, yb)]
    learn.dls.loaders[0].create_batches = lambda _: iter(batches)
    learn.fit(1, 1e-2, cbs=Look())
    torch.testing.assert_close(found[0], expected)


def test_a_function_may_find_the_codes(tmp_path):
    by_name, by_function = (spread_learner(tmp_path, of=of) for of in ("0", lambda learn: learn.model[0](learn.xb[0])))
    for learn in (by_name, by_function):
        learn.fit(1, 1e-2)
    for name, value in weights(by_name).items():
        torch.testing.assert_close(value, weights(by_function)[name])


def test_a_weight_of_zero_reports_and_changes_nothing(tmp_path):
    learn, plain = spread_learner(tmp_path, 0), plain_learner(tmp_path)
    for each in (learn, plain):
        torch.manual_seed(0)
        each.dls.train.rng.seed(0)
        each.fit(2, 1e-2)
    assert all(torch.equal(a, b) for a, b in zip(weights(learn).values(), weights(plain).values(), strict=True))
    assert learn.metric_history.rows[-1]["loss_batch_std"] > 0


def test_codes_without_a_gradient_are_reported_with_a_warning(tmp_path):
    learn = spread_learner(tmp_path, 0.1)
    with pytest.warns(UserWarning, match="have no gradient, so that a `weight` of 0.1 doesn't change them") as found:
        learn.fit(2, 1e-2, cbs=FreezeLayers("0.*"))
    assert len(found) == 1 and learn.metric_history.rows[1]["loss_batch_std"] > 0


def test_no_hook_and_no_column_stay_after_an_interruption(tmp_path):
    class Interrupt(Callback):
        def after_batch(self):
            raise KeyboardInterrupt

    learn = plain_learner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 1e-2, cbs=[CodeSpread(of="0"), Interrupt()])
    assert not any(module._forward_hooks for module in learn.model.modules())
    learn.fit(1, 1e-2, cbs=CodeSpread(of="0"))
    assert list(learn.recorder.metric_names).count("loss_batch_std") == 1 and not learn.metrics


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, "0.1", None])
def test_a_weight_is_a_finite_number(weight):
    with pytest.raises(ValueError, match="`weight` must be"):
        CodeSpread(weight)


def test_codes_that_cannot_be_found_are_a_clear_error_before_training(tmp_path):
    with pytest.raises(ValueError, match="'encoder' is no module of the network; those at its top are '0', '1'"):
        plain_learner(tmp_path, cbs=CodeSpread()).fit(1)
    learn = plain_learner(tmp_path, cbs=CodeSpread(of="4"))
    learn.model.add_module("4", nn.Identity())
    learn.model.forward = lambda x: learn.model[3](learn.model[2](learn.model[0](x)))
    with pytest.raises(ValueError, match="did not use that module"):
        learn.fit(1)
    with pytest.raises(TypeError, match="`of` must be"):
        CodeSpread(of=3)
