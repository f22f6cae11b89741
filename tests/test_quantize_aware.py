"""QuantizeAware: what a fit with it leaves, in the network and in the optimiser."""

import copy
import pickle

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import lr_find  # noqa: F401  gives Learner.lr_find
from fastai.optimizer import Adam
from learners import pixel_learner, plain_learner, same, weights

from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.optimizers import OPTIMIZERS, ranger, soap
from siren_fastai.quantize.aware import bake_, is_quantize_aware
from siren_fastai.quantize.quantizers import Quantizer, dequantize, fit_quantizer, quantize
from siren_fastai.quantize.rate import estimated_bits

pytestmark = pytest.mark.numerics


def is_quantised(model, quantizers):
    named = dict(model.named_parameters())
    return all(torch.equal(dequantize(quantize(named[n], q), q), named[n]) for n, q in quantizers.items())


class Interrupt(Callback):
    def after_batch(self):
        raise KeyboardInterrupt


class WatchSteps(Callback):
    def after_batch(self):
        self.factors = [factor.detach().clone() for factor in self.quantize_aware.steps]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_leaves_a_plain_network_of_quantised_weights(name, tmp_path):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    learn.fit(1, 1e-3)  # the optimiser has a state before
    names, groups = list(weights(learn)), [len(group) for group in learn.opt.param_lists]
    quantizers = {n: fit_quantizer(p, 6) for n, p in learn.model.named_parameters() if "weight" in n}
    callback, watch = QuantizeAware(quantizers), WatchSteps()
    for _ in range(2):
        learn.fit(2, 1e-2, cbs=[callback, watch])
        assert list(weights(learn)) == names and not is_quantize_aware(learn.model)
        assert callback.quantizers.keys() == quantizers.keys() and is_quantised(learn.model, callback.quantizers)
        assert len(moved := watch.factors) == len(quantizers) and all(factor.abs().min() > 0 for factor in moved)
        assert [len(group) for group in learn.opt.param_lists] == groups
        assert not any(p.dim() == 1 and p.numel() == 1 for p in learn.opt.opt.state if isinstance(p, torch.Tensor))
    learn.fit(1, 1e-3)  # free again
    assert not is_quantised(learn.model, callback.quantizers)


def test_a_number_of_bits_quantises_every_parameter_of_any_learner(tmp_path):
    learn = plain_learner(tmp_path, opt_func=Adam)
    learn.fit(1, 1e-2, cbs=(callback := QuantizeAware(5)))
    assert callback.quantizers.keys() == {name for name, _ in learn.model.named_parameters()}
    assert is_quantised(learn.model, callback.quantizers)
    assert len(learn.model[0].weight.unique()) <= 31


def test_steps_stay_fixed_without_learn_steps(tmp_path):
    learn = pixel_learner(tmp_path, opt_func=soap)
    quantizers = {"0.linear.weight": fit_quantizer(learn.model[0].linear.weight, 4, by_row=True)}
    learn.fit(2, 1e-2, cbs=(callback := QuantizeAware(quantizers, learn_steps=False)))
    assert torch.equal(callback.quantizers["0.linear.weight"].step, quantizers["0.linear.weight"].step)
    assert is_quantised(learn.model, quantizers)


def test_training_for_three_bits_beats_rounding_to_three_bits(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(60, 1e-3)
    rounded = copy.deepcopy(learn.model)
    with torch.no_grad():
        for p in rounded.parameters():
            p.copy_(dequantize(quantize(p, (q := fit_quantizer(p, 3))), q))
    learn.fit(30, 1e-3, cbs=QuantizeAware(3))
    data = learn.dls.train_ds
    with torch.no_grad():
        before, after = [(m(data.coords) - data.values).square().mean().item() for m in (rounded, learn.model)]
    assert after < 0.8 * before


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.7, 1.3])
def test_bits_settle_at_the_budget(share, tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(20, 1e-3)
    quantizers = {n: fit_quantizer(p, 6) for n, p in learn.model.named_parameters()}
    wide = {n: Quantizer(10, q.step) for n, q in quantizers.items()}
    budget = share * estimated_of(learn.model, quantizers)
    learn.fit_fast(60, 1e-2, cbs=(callback := QuantizeAware(wide, budget_bits=budget, ramp=0.0)))
    bits = estimated_of(learn.model, callback.quantizers)
    assert bits == pytest.approx(budget, rel=0.05)  # the kernels' rounding moves it by some per cent in so few steps
    assert is_quantised(learn.model, callback.quantizers)


def test_a_budget_for_a_network_that_has_learned_nothing_warns_and_falls_slowly(tmp_path):
    budgets = []

    class Watch(Callback):
        order = QuantizeAware.order + 1

        def after_loss(self):
            if self.training:
                budgets.append(self.quantize_aware.penalty.budget_bits)

    learn = pixel_learner(tmp_path, cbs=[QuantizeAware(6, budget_bits=900), Watch()])
    with pytest.warns(UserWarning, match="learned little"):
        learn.fit(4, 1e-3)
    assert len(budgets) == 12 and budgets == sorted(budgets, reverse=True)
    assert budgets[0] > 1500 and budgets[6:] == [900] * 6


def test_a_budget_for_a_trained_network_does_not_warn(tmp_path):
    learn = pixel_learner(tmp_path, dims=(2, 32, 32, 3))
    learn.fit(100, 5e-3)
    learn.fit(1, 1e-3, cbs=QuantizeAware(8, budget_bits=9000))


def estimated_of(model, quantizers):
    named = dict(model.named_parameters())
    return estimated_bits((named[name].detach(), q.step) for name, q in quantizers.items()).item()


def test_the_shown_loss_excludes_the_rate_penalty(tmp_path):
    class Watch(Callback):
        def before_backward(self):
            self.mse = torch.nn.functional.mse_loss(self.learn.pred.detach(), *self.learn.yb).item()
            self.shown, self.trained = self.learn.loss.item(), self.learn.loss_grad.item()

    learn = pixel_learner(tmp_path, cbs=(watch := Watch()))
    learn.fit(1, 1e-3, cbs=QuantizeAware(6, budget_bits=100, ramp=0.0))
    assert watch.shown == pytest.approx(watch.mse) and watch.trained > 1.5 * watch.mse


def test_validation_during_the_fit_sees_the_network_that_is_stored(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(2, 1e-2, cbs=QuantizeAware(3))
    during = learn.recorder.values[-1][1]
    assert learn.validate()[0] == pytest.approx(during, rel=1e-5)


@pytest.mark.parametrize("opt_func", [soap, ranger], ids=lambda f: f.__name__)
def test_lr_find_changes_no_weights_optimiser_or_quantisers(opt_func, tmp_path):
    learn = pixel_learner(tmp_path, opt_func=opt_func, cbs=(callback := QuantizeAware(5)))
    learn.fit(1, 1e-3)
    before, quantizers = weights(learn), callback.quantizers
    groups = [len(group) for group in learn.opt.param_lists]
    learn.lr_find(num_it=6, show_plot=False)
    assert same(before, weights(learn)) and callback.quantizers is quantizers
    assert [len(group) for group in learn.opt.param_lists] == groups
    learn.fit(1, 1e-3)
    assert is_quantised(learn.model, callback.quantizers)


def test_after_an_interrupt_one_can_bake_or_fit_again(tmp_path):
    learn = pixel_learner(tmp_path, cbs=(callback := QuantizeAware(4)))
    groups = [len(group) for group in learn.opt_func(learn.model.parameters(), lr=1e-3).param_lists]
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 1e-3, cbs=Interrupt())
    other = copy.deepcopy(learn.model)
    assert is_quantised(other, bake_(other))
    learn.fit(1, 1e-3)
    assert is_quantised(learn.model, callback.quantizers)
    assert [len(group) for group in learn.opt.param_lists] == groups


def test_an_interrupted_network_that_was_baked_by_hand_can_be_fitted_again(tmp_path):
    learn = pixel_learner(tmp_path, cbs=(callback := QuantizeAware(4)))
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 1e-3, cbs=Interrupt())
    bake_(learn.model)
    learn.fit(1, 1e-3)
    assert is_quantised(learn.model, callback.quantizers)


def test_frozen_layers_are_quantised_but_not_trained(tmp_path):
    learn = pixel_learner(tmp_path)
    weight = learn.model[0].linear.weight
    quantizer = fit_quantizer(weight, 5)
    expected = dequantize(quantize(weight, quantizer), quantizer)
    learn.fit(2, 1e-2, cbs=[FreezeLayers("0.*"), QuantizeAware({"0.linear.weight": quantizer}, learn_steps=False)])
    assert torch.equal(learn.model[0].linear.weight, expected)


def test_the_callback_with_its_quantisers_can_be_pickled(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(1, 1e-3, cbs=(callback := QuantizeAware(4)))
    again = pickle.loads(pickle.dumps(callback))
    assert is_quantised(learn.model, again.quantizers)


def test_wrong_bits_and_wrong_names_are_refused(tmp_path):
    for bits in (1, 11, 4.5, True, None):
        with pytest.raises(ValueError, match="`bits` must be from 2 to 10"):
            QuantizeAware(bits)
    for budget in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="`budget_bits` must be above 0"):
            QuantizeAware(5, budget_bits=budget)
    for ramp in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="`ramp` must be a share"):
            QuantizeAware(5, budget_bits=100, ramp=ramp)
    learn = pixel_learner(tmp_path)
    quantizer = fit_quantizer(torch.ones(1), 4)
    with pytest.raises(ValueError, match="the parameters are"):
        learn.fit(1, cbs=QuantizeAware({"nothing": quantizer}))
    learn.fit(1, 1e-3)
