"""The estimate of bits compared with the entropy coder, and the penalty that steers training to a budget."""

import math

import pytest
import torch
from torch.distributions import Laplace

from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.rate import RatePenalty, estimated_bits

pytestmark = pytest.mark.numerics

STEP = torch.tensor(0.5)


@pytest.mark.parametrize("size", [0.2, 0.35, 0.7, 1.5, 5, 30])
def test_the_estimate_is_near_what_is_coded(size):
    torch.manual_seed(0)
    weight = Laplace(0.0, size * 0.5).sample((20_000,)).clamp(-250, 250)
    symbols = (weight / STEP).round().int()
    coded = code_length(symbols, fit_model(symbols))
    assert estimated_bits([(weight, STEP)]).item() == pytest.approx(coded, rel=0.13)


def test_tensors_add_up_and_zeros_are_free():
    torch.manual_seed(0)
    pairs = [(torch.randn(7, 5), STEP), (torch.randn(9), STEP / 8)]
    assert estimated_bits(pairs).item() == pytest.approx(sum(estimated_bits([pair]).item() for pair in pairs))
    assert estimated_bits([(torch.zeros(4), STEP)]).item() == 0


def test_a_step_for_each_row_is_that_of_scaled_rows():
    torch.manual_seed(0)
    weight, steps = torch.randn(6, 4, 3), torch.rand(6, 1) + 0.1
    scaled = weight / steps[..., None]
    assert estimated_bits([(weight, steps)]).item() == pytest.approx(estimated_bits([(scaled, torch.ones(()))]).item())


def test_gradients_lead_to_smaller_weights_and_coarser_steps():
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    step = torch.rand(5, 1, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, s: estimated_bits([(w, s)]), (weight, step))
    estimated_bits([(weight, step)]).backward()
    assert (weight.grad * weight.detach() > 0).all() and (step.grad < 0).all()


def test_a_penalty_starts_at_half_the_loss_and_pays_for_the_share_of_the_budget():
    penalty = RatePenalty(100)
    assert penalty(torch.tensor(0.2), torch.tensor(100.0)).item() == pytest.approx(0.2 + 0.1)
    bits = torch.tensor(100.0, requires_grad=True)
    penalty(torch.tensor(0.2), bits).backward()
    assert bits.grad.item() == pytest.approx(0.1 / 100)


@pytest.mark.parametrize("share, first", [(1.01, math.exp(2)), (0.99, math.exp(-2)), (3.0, math.exp(4))])
def test_the_weight_of_a_penalty_follows_the_excess_of_bits(share, first):
    """The formulas: w * exp(200 e) * share now, w * exp(e / 2) afterwards, e the excess clamped to 2 %."""
    penalty, loss, bits = RatePenalty(10), torch.tensor(2.0), torch.tensor(10 * share)
    paid = [(penalty(loss, bits) - loss).item() for _ in range(3)]
    excess = max(-0.02, min(0.02, share - 1))
    assert paid[0] == pytest.approx(first * share, rel=1e-4)
    assert [b / a for a, b in zip(paid[:-1], paid[1:], strict=True)] == pytest.approx(
        [math.exp(excess / 2)] * 2, rel=1e-4
    )


def test_a_penalty_grows_to_a_thousand_times_its_first_and_no_further():
    penalty = RatePenalty(1)
    paid = [penalty(torch.tensor(1.0), torch.tensor(2.0)).item() - 1 for _ in range(1000)]
    assert paid[-1] / paid[0] == pytest.approx(1e3, rel=1e-3) and paid[-1] == paid[-2]


def test_gradient_descent_on_a_penalized_loss_settles_at_the_budget():
    torch.manual_seed(0)
    target, step = torch.randn(400), torch.tensor(0.1)
    weight = target.clone().requires_grad_()
    optimiser, penalty = torch.optim.Adam([weight], lr=0.01), RatePenalty(0.7 * estimated_bits([(target, step)]).item())
    for _ in range(500):
        optimiser.zero_grad()
        bits = estimated_bits([(weight, step)])
        penalty(0.1 + (weight - target).square().mean(), bits).backward()
        optimiser.step()
    assert bits.item() == pytest.approx(penalty.budget_bits, rel=0.03)


def test_losses_that_are_not_finite_get_no_penalty_and_set_no_weight():
    penalty, bits = RatePenalty(10), torch.tensor(10.0)
    assert penalty(torch.tensor(math.nan), bits).isnan() and penalty(torch.tensor(math.inf), bits).isinf()
    assert penalty(torch.tensor(1.0), bits).item() == pytest.approx(1.5)


@pytest.mark.parametrize("budget", [0, -1, math.inf, math.nan])
def test_a_budget_is_above_0_and_finite(budget):
    with pytest.raises(ValueError, match="`budget_bits` must be above 0 and finite, got"):
        RatePenalty(budget)
