"""The uniform quantisers and their gradients."""

import pytest
import torch

from siren_fastai.quantize.quantizers import (
    BITS,
    Quantizer,
    dequantize,
    fake_quantize,
    fit_quantizer,
    narrowest,
    quantize,
    round_step,
    widest,
)

pytestmark = pytest.mark.numerics

HALF = torch.tensor(0.5)


def error(weight, quantizer):
    return (dequantize(quantize(weight, quantizer), quantizer) - weight).square().sum().item()


def test_symbols_are_rounded_quotients_clamped_to_the_bits():
    weight = torch.tensor([0.0, 0.24, 0.26, -0.26, 0.8, 1.6, -9.0, 9.0])
    symbols = quantize(weight, Quantizer(3, HALF))
    assert symbols.dtype == torch.int32 and symbols.tolist() == [0, 0, 1, -1, 2, 3, -3, 3]
    assert dequantize(symbols, Quantizer(3, HALF)).tolist() == [0, 0, 0.5, -0.5, 1, 1.5, -1.5, 1.5]


def test_dequantized_values_quantise_to_themselves():
    for bits in BITS:
        weight = torch.randn(20, 9)
        for by_row in (False, True):
            quantizer = fit_quantizer(weight, bits, by_row)
            symbols = quantize(weight, quantizer)
            assert symbols.abs().max() <= quantizer.limit
            assert torch.equal(quantize(dequantize(symbols, quantizer), quantizer), symbols)


@pytest.mark.parametrize("largest, bits", [(0, 2), (1, 2), (2, 3), (3, 3), (4, 4), (255, 9), (256, 10), (511, 10)])
def test_the_narrowest_quantizer_has_the_same_symbols(largest, bits):
    weight, wide = torch.tensor([0.0, -largest / 4, largest / 9]), Quantizer(10, torch.tensor(0.25))
    narrow = narrowest(weight, wide)
    assert narrow.bits == bits and narrow.step == wide.step
    assert torch.equal(quantize(weight, narrow), quantize(weight, wide))


@pytest.mark.parametrize("share", [1e-3, 0.5, 2.0])
def test_no_weight_is_cut_however_fine_the_step_should_be(share):
    torch.manual_seed(0)
    weight = torch.randn(50, 20)
    step = share * weight.abs().max() / 511
    quantizer = widest(weight, step)
    assert quantizer.bits == 10 and quantizer.step >= 0.99 * step
    error = (dequantize(quantize(weight, quantizer), quantizer) - weight).abs().max()
    assert error <= 0.501 * quantizer.step


def test_the_rounded_step_is_the_nearest_bfloat16_and_never_zero_or_infinite():
    step = torch.rand(1000).mul(6).sub(3).exp()
    rounded = round_step(step)
    assert torch.equal(rounded, rounded.bfloat16().float()) and torch.equal(
        rounded.view(torch.int32) & 0xFFFF, rounded.int() * 0
    )
    assert ((rounded - step).abs() <= step * 2**-8).all()
    extreme = round_step(torch.tensor([0.0, -1.0, 1e-45, 3.4028e38, float("inf")]))
    assert (extreme > 0).all() and torch.isfinite(extreme).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_fitted_step_is_as_good_as_an_exhaustive_search(bits):
    for weight in (torch.randn(400), torch.rand(400) - 0.5, torch.distributions.Laplace(0.0, 1.0).sample((400,))):
        largest = weight.abs().max() / (2 ** (bits - 1) - 1)
        steps = (round_step(largest * share) for share in torch.linspace(0.02, 1.2, 1500))
        best = min(error(weight, Quantizer(bits, step)) for step in steps)
        assert error(weight, fit_quantizer(weight, bits)) <= 1.02 * best


def test_more_bits_and_steps_by_row_lower_the_error():
    weight = torch.randn(8, 32) * torch.logspace(-2, 0, 8)[:, None]
    errors = [error(weight, fit_quantizer(weight, bits)) for bits in BITS]
    assert errors == sorted(errors, reverse=True)
    assert fit_quantizer(weight, 5, by_row=True).step.shape == (8, 1)
    assert error(weight, fit_quantizer(weight, 5, by_row=True)) < 0.5 * errors[3]


def test_zeros_rows_of_zeros_scalars_and_convolutions_are_quantised_too():
    assert fit_quantizer(torch.zeros(3, 2), 4).step == 1
    weight = torch.stack([torch.zeros(5), torch.randn(5)])
    assert fit_quantizer(weight, 4, by_row=True).step[0] == 1
    assert fit_quantizer(torch.randn(6), 4, by_row=True).step.shape == ()
    scalar = fit_quantizer(torch.tensor(0.3), 8)
    assert error(torch.tensor(0.3), scalar) < 1e-4
    kernel = torch.randn(4, 3, 2, 2)
    quantizer = fit_quantizer(kernel, 6, by_row=True)
    rows = dequantize(quantize(kernel.view(4, -1), quantizer), quantizer)
    assert torch.equal(dequantize(quantize(kernel, quantizer), quantizer).view(4, -1), rows)
    assert torch.equal(fake_quantize(kernel, quantizer.step, 6).view(4, -1), rows)


def test_what_is_no_quantizer_is_refused():
    for bits in (1, 11, True, 4.5):
        with pytest.raises(ValueError, match="`bits` must be from 2 to 10"):
            Quantizer(bits, HALF)
    for step in (torch.tensor(0.1), torch.tensor(0.0), torch.tensor(-0.5), torch.tensor(float("nan"))):
        with pytest.raises(ValueError, match="bfloat16 values above 0"):
            Quantizer(4, step)
    for shape in ((3,), (1, 3), (0, 1)):
        with pytest.raises(ValueError, match="shape"):
            Quantizer(4, torch.ones(shape))
    with pytest.raises(TypeError, match="float32"):
        Quantizer(4, torch.tensor(0.5, dtype=torch.float64))
    for weight in (torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")]), torch.zeros(0)):
        with pytest.raises(ValueError, match="finite and not empty"):
            fit_quantizer(weight, 4)
    with pytest.raises(ValueError, match="steps for 3 rows"):
        quantize(torch.ones(4, 2), Quantizer(4, torch.ones(3, 1)))


@pytest.mark.parametrize("by_row", [False, True])
def test_fake_quantize_gives_the_stored_value_and_the_gradients_of_lsq(by_row):
    weight = torch.randn(4, 50, requires_grad=True)
    quantizer = Quantizer(3, torch.full((4, 1), 0.5) if by_row else HALF)
    step = quantizer.step.clone().requires_grad_()
    value, upstream = fake_quantize(weight, step, 3), torch.randn(4, 50)
    assert torch.equal(value, dequantize(quantize(weight, quantizer), quantizer))
    value.backward(upstream)
    ratio = weight.detach() / 0.5
    inside = ratio.abs() <= 3
    assert not inside.all() and torch.equal(weight.grad, upstream * inside)
    slope = torch.where(inside, ratio.round() - ratio, 3 * ratio.sign())  # eq. 3
    shared = 50 if by_row else 200
    total = (upstream * slope).sum(1, keepdim=True) if by_row else (upstream * slope).sum()
    torch.testing.assert_close(step.grad, total / (shared * 3) ** 0.5)


def test_fake_quantize_rounds_the_step_before_it_is_used():
    weight, step = torch.randn(30), torch.tensor(0.1234567)
    assert torch.equal(fake_quantize(weight, step, 5), fake_quantize(weight, round_step(step), 5))
