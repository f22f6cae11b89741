"""Training for the codec: steps that are counted, restarts, quantised weights after fine-tuning, and Ctrl-C."""

import math
from dataclasses import replace

import pytest
import torch
from fastai.callback.core import Callback, CancelEpochException, CancelFitException
from learners import picture

from siren_fastai.codec.training import Attempt, FittedNetwork, Trainer, best_attempt
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import mse
from siren_fastai.quantize.aware import is_quantize_aware
from siren_fastai.quantize.quantizers import dequantize, fit_quantizer, quantize
from siren_fastai.quantize.rate import estimated_bits
from siren_fastai.render import render

pytestmark = pytest.mark.numerics

SIZE = (16, 24)
VALUES = torch.from_numpy(picture(*SIZE))
TRAINER = Trainer(VALUES, "cpu", False)


class Interrupt(Callback):
    """Ctrl-C after so many batches of training."""

    run_valid = False

    def __init__(self, after):
        self.left = after

    def after_batch(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Stop(Callback):
    def __init__(self, error):
        self.error = error

    def before_batch(self):
        raise self.error


def network(dims=(2, 16, 16, 3), **fields):
    return FittedNetwork(siren_model(list(dims)), **fields)


def error(fitted, values=VALUES):
    return mse(render(fitted.model, SIZE, clamp=None), values)


def with_bits(fitted, bits=6):
    return {name: fit_quantizer(p, bits) for name, p in fitted.model.named_parameters()}


def is_quantised(fitted, quantizers):
    named = dict(fitted.model.named_parameters())
    return all(torch.equal(dequantize(quantize(named[n], q), q), named[n]) for n, q in quantizers.items())


def rounded(fitted, quantizers):
    """A new network of the same widths with these weights, rounded."""
    other = network()
    with torch.no_grad():
        for (name, p), q in zip(fitted.model.named_parameters(), other.model.parameters(), strict=True):
            q.copy_(dequantize(quantize(p, quantizers[name]), quantizers[name]))
    return other


def weights(fitted):
    return [p.detach().clone() for p in fitted.model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fit_learns_counts_its_steps_and_leaves_what_it_was_given(channels):
    values = torch.from_numpy(picture(*SIZE, channels))
    start = network((2, 16, 16, channels))
    before, trainer = weights(start), Trainer(values, "cpu", False)
    made = trainer.fit(start, 40)
    assert made.steps == 40 and not made.interrupted and error(made, values) < 0.5 * error(start, values)
    assert start.steps == 0 and same(before, weights(start))
    assert trainer.fit(made, 3).steps == 43


@pytest.mark.parametrize(
    "losses, made, best",
    [
        ([0.1, 0.0], 1, 0),
        ([math.inf, 0.1, 0.0], 2, 1),
        ([5.0, math.inf, 4.0, 0.0], 4, 3),
        ([4.0, 5.0, math.inf], 3, 0),
        ([math.inf, math.inf], 2, 0),
        ([9.0, None, 0.0], 2, 0),
        ([None, 0.0], 1, 0),
    ],
)
def test_attempts_go_on_while_they_diverge_and_the_best_is_kept(losses, made, best):
    attempts = [Attempt(None, rate, 100, loss) for rate, loss in enumerate(losses)]
    found = best_attempt(iter(attempts), converged_loss=1.0)
    assert found == (attempts[best], attempts[:made])


def test_a_short_attempt_is_not_judged():
    attempts = [Attempt(None, rate, 99, math.inf) for rate in range(3)]
    assert best_attempt(attempts, 1.0) == (attempts[0], attempts[:1])


@pytest.mark.parametrize("rate, restarted", [(1e-2, False), (0.1, True)])
def test_a_fit_at_much_too_high_a_rate_is_restarted(rate, restarted):
    made = TRAINER.fit(network((2, 32, 32, 32, 3), rate=rate), 100)
    assert (made.steps > 100) == restarted and (made.rate < rate) <= restarted


@pytest.mark.parametrize("stop", [CancelFitException, CancelEpochException])
def test_a_callback_may_end_a_fit(stop):
    trainer = replace(TRAINER, cbs=(Stop(stop),))
    made = trainer.fit(network(), 200)
    assert made.steps == 0 and not made.interrupted
    assert is_quantised(*trainer.fine_tune(made, with_bits(made), 200))


@pytest.mark.parametrize("asked", [1, 7, 10])
def test_a_fit_takes_exactly_the_steps_that_were_asked_for(asked):
    trainer = Trainer(torch.rand(160, 200, 1), "cpu", False)  # four steps see the image once
    assert trainer.fit(network((2, 4, 1)), asked).steps == asked


def test_fine_tuning_gives_quantised_weights_and_their_quantisers():
    made = TRAINER.fit(network(), 20)
    before, given = weights(made), with_bits(made)
    tuned, found = TRAINER.fine_tune(made, given, 5)
    assert tuned.steps == 25 and found.keys() == given.keys() and is_quantised(tuned, found)
    assert not is_quantize_aware(tuned.model) and not tuned.interrupted and tuned.rate == made.rate
    assert made.steps == 20 and same(before, weights(made))


def test_fine_tuning_lowers_the_error_of_rounding():
    made = TRAINER.fit(network(), 60)
    quantizers = with_bits(made, 4)
    tuned, _ = TRAINER.fine_tune(made, quantizers, 30)
    assert error(tuned) < error(rounded(made, quantizers))


@pytest.mark.parametrize("share", [0.7, 1.1])
def test_tuning_towards_a_share_takes_about_that_share_of_the_bits(share):
    made = TRAINER.fit(network(), 40)
    given = with_bits(made)
    tuned, found = TRAINER.tune_towards(made, given, share, 60)
    bits = [
        estimated_bits((p.detach(), q[name].step) for name, p in fitted.model.named_parameters()).item()
        for fitted, q in ((made, given), (tuned, found))
    ]
    assert bits[1] / bits[0] == pytest.approx(share, rel=0.15) and is_quantised(tuned, found)


def test_ctrl_c_ends_a_fit_with_what_was_learned():
    start = network()
    made = replace(TRAINER, cbs=(Interrupt(3),)).fit(start, 20)
    assert made.interrupted and made.steps in (2, 3) and not same(weights(start), weights(made))


def test_ctrl_c_in_fine_tuning_gives_quantised_weights_too():
    trainer = replace(TRAINER, cbs=(Interrupt(12),))
    made = trainer.fit(network(), 10)
    assert not made.interrupted
    tuned, found = trainer.fine_tune(made, with_bits(made), 5)
    assert tuned.interrupted and is_quantised(tuned, found) and not is_quantize_aware(tuned.model)
