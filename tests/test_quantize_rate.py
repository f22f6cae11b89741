"""The estimate of bits, beside what the entropy coder takes for the same numbers."""

import pytest
import torch
from torch.distributions import Laplace

from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.rate import estimated_bits

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
