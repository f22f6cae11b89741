"""Training for the codec: steps that are counted, quantised weights after fine-tuning, and Ctrl-C."""

import copy
import math

import pytest
import torch
from fastai.callback.core import Callback, CancelEpochException, CancelFitException
from learners import picture

from siren_fastai.codec import training as fit
from siren_fastai.codec.training import Training
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import mse
from siren_fastai.quantize.aware import is_quantize_aware
from siren_fastai.quantize.quantizers import dequantize, fit_quantizer, quantize
from siren_fastai.render import render

SIZE = (16, 24)


class Interrupt(Callback):
    """Ctrl-C after so many batches of training."""

    run_valid = False

    def __init__(self, after):
        self.left = after

    def after_batch(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def training(dims=(2, 16, 16, 3), **options):
    return Training(siren_model(list(dims)), torch.from_numpy(picture(*SIZE, dims[-1])), "cpu", False, **options)


def error(made):
    return mse(render(made.model, SIZE, clamp=None), made.values)


def six_bits(made):
    return {name: fit_quantizer(p, 6) for name, p in made.model.named_parameters()}


def is_quantised(made, quantizers):
    named = dict(made.model.named_parameters())
    return all(torch.equal(dequantize(quantize(named[n], q), q), named[n]) for n, q in quantizers.items())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fit_learns_and_counts_its_steps(channels):
    made = training((2, 16, 16, channels))
    before = error(made)
    made.fit(40)
    assert made.steps == 40 and not made.interrupted and error(made) < 0.5 * before
    made.fit(3)
    assert made.steps == 43


@pytest.mark.parametrize(
    "losses, best",
    [([0.0], 0), ([math.inf, 0.0], 1), ([5.0, math.inf, 4.0], 2), ([4.0, 5.0, math.inf], 0), ([9.0, None], 0)],
)
def test_a_fit_that_goes_astray_begins_anew_with_half_the_rate_and_the_best_is_kept(losses, best, monkeypatch):
    made, tried, left = training(rate=0.8), [], []
    start = copy.deepcopy(made.model.state_dict())

    def astray(self, steps, lr, cbs):
        assert all(torch.equal(p, start[n]) for n, p in self.model.state_dict().items())
        tried.append(lr)
        self.steps += steps
        with torch.no_grad():
            self.model[0].linear.bias.fill_(len(tried))
        left.append(copy.deepcopy(self.model.state_dict()))
        return losses[len(tried) - 1]

    monkeypatch.setattr(Training, "_run", astray)
    made.fit(100)
    assert tried == [0.8, 0.4, 0.2][: len(losses)] and made.rate == tried[best] and made.steps == 100 * len(losses)
    assert all(torch.equal(p, left[best][n]) for n, p in made.model.state_dict().items())
    monkeypatch.undo()
    rates = []
    monkeypatch.setattr(Training, "_run", lambda self, steps, lr, cbs: rates.append(lr))
    made.fine_tune(six_bits(made), 5)
    assert rates == [pytest.approx(fit.TUNING * tried[best])]


@pytest.mark.parametrize("lr, anew", [(1e-2, False), (0.1, True)])
def test_a_rate_that_is_much_too_high_is_found_out(lr, anew):
    made = training((2, 32, 32, 32, 3), rate=lr)
    made.fit(100)
    assert (made.steps > 100) == anew


def test_a_short_fit_is_not_begun_anew():
    made = training(rate=1.0)
    made.fit(20)
    assert made.steps == 20


class Stop(Callback):
    def __init__(self, error):
        self.error = error

    def before_batch(self):
        raise self.error


@pytest.mark.parametrize("error", [CancelFitException, CancelEpochException])
def test_a_callback_may_end_a_fit(error):
    made = training(cbs=[Stop(error)])
    made.fit(200)
    assert made.steps == 0 and not made.interrupted
    assert is_quantised(made, made.fine_tune(six_bits(made), 200))


def test_steps_take_part_of_a_large_picture_and_are_about_those_asked_for(monkeypatch):
    monkeypatch.setattr(fit, "BATCH", 100)  # 4 steps see the picture once
    for asked, done in ((1, 4), (8, 8), (41, 40)):
        made = training()
        made.fit(asked)
        assert made.steps == done


def test_fine_tuning_leaves_quantised_weights_and_their_quantisers():
    made = training()
    made.fit(20)
    given = six_bits(made)
    found = made.fine_tune(given, 5)
    assert made.steps == 25 and found.keys() == given.keys() and is_quantised(made, found)
    assert not is_quantize_aware(made.model) and not made.interrupted


def test_fine_tuning_lowers_the_error_of_rounding():
    made = training()
    made.fit(60)
    quantizers, plain = {n: fit_quantizer(p, 4) for n, p in made.model.named_parameters()}, copy.deepcopy(made)
    with torch.no_grad():
        for name, p in plain.model.named_parameters():
            p.copy_(dequantize(quantize(p, quantizers[name]), quantizers[name]))
    made.fine_tune(quantizers, 30)
    assert error(made) < error(plain)


def test_ctrl_c_ends_a_fit_with_what_was_learned():
    made = training(cbs=[Interrupt(3)])
    start = copy.deepcopy(made.model.state_dict())
    made.fit(20)
    assert made.interrupted and made.steps in (2, 3)
    assert any(not torch.equal(p, start[n]) for n, p in made.model.state_dict().items())


def test_ctrl_c_in_fine_tuning_leaves_quantised_weights_too():
    made = training(cbs=[Interrupt(12)])
    made.fit(10)
    assert not made.interrupted
    found = made.fine_tune(six_bits(made), 5)
    assert made.interrupted and is_quantised(made, found) and not is_quantize_aware(made.model)
