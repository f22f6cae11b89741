"""Bits per tensor: the choice for a slope, for a size, and the curves that it is made from."""

import itertools

import pytest
import torch

from siren_fastai.models.siren import siren_model
from siren_fastai.quantize.allocate import allocate_bits, allocate_for_size, measure_curves, side_bits
from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.quantizers import Quantizer, dequantize, fit_quantizer, quantize

pytestmark = pytest.mark.numerics


def random_curves(n=3, seed=0):
    """Errors that fall by about four with each bit, with some noise."""
    g = torch.Generator().manual_seed(seed)
    sizes, scales = torch.randint(10, 200, (n,), generator=g).tolist(), torch.rand(n, generator=g).tolist()
    noise = torch.rand(n, 11, generator=g).tolist()
    return {
        f"t{i}": {b: (size * b, scale * 4.0**-b * (0.7 + noise[i][b])) for b in range(2, 7)}
        for i, (size, scale) in enumerate(zip(sizes, scales, strict=True))
    }


def total(curves, chosen):
    return [sum(curves[name][b][i] for name, b in chosen.items()) for i in (0, 1)]


def choices(curves):
    return [dict(zip(curves, bits, strict=True)) for bits in itertools.product(*curves.values())]


@pytest.mark.parametrize("slope", [0.0, 1e-6, 1e-4, 1e-2, 10.0])
def test_the_choice_for_a_slope_is_the_best_of_all(slope):
    curves = random_curves()
    costs = [total(curves, c)[1] + slope * total(curves, c)[0] for c in choices(curves)]
    size, error = total(curves, allocate_bits(curves, slope))
    assert error + slope * size == pytest.approx(min(costs), rel=1e-12)


def test_a_flat_slope_takes_the_least_error_and_a_steep_one_the_least_size():
    curves = random_curves()
    assert total(curves, allocate_bits(curves, 0.0))[1] == min(total(curves, c)[1] for c in choices(curves))
    assert set(allocate_bits(curves, 1e9).values()) == {2}
    assert allocate_bits({"a": {2: (10, 1.0), 3: (20, 1.0)}}, 0.0) == {"a": 2}


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_for_a_size_fits_and_is_nearly_the_best_of_all(seed):
    curves = random_curves(seed=seed)
    totals = [total(curves, c) for c in choices(curves)]
    smallest, largest = min(t[0] for t in totals), max(t[0] for t in totals)
    for share in (0, 0.1, 0.3, 0.6, 0.9, 1):
        budget = smallest + share * (largest - smallest)
        size, error = total(curves, allocate_for_size(curves, budget))
        best = min(e for s, e in totals if s <= budget)
        assert size <= budget and error <= 1.6 * best
    hull = allocate_bits(curves, 1e-4)
    assert total(curves, allocate_for_size(curves, total(curves, hull)[0]))[1] <= total(curves, hull)[1]


def test_more_bytes_never_mean_more_error():
    curves = random_curves(6, seed=3)
    smallest = sum(curve[2][0] for curve in curves.values())
    errors = [total(curves, allocate_for_size(curves, smallest * f))[1] for f in (1, 1.2, 1.5, 2, 3)]
    assert errors == sorted(errors, reverse=True)


def test_impossible_requests_say_what_is_possible():
    curves = random_curves()
    smallest = sum(curve[2][0] for curve in curves.values())
    with pytest.raises(ValueError, match=f"`budget_bits` must be at least {smallest}, got {smallest - 1}"):
        allocate_for_size(curves, smallest - 1)
    for slope in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`slope`"):
            allocate_bits(curves, slope)
    for empty in ({}, {"a": {}}):
        with pytest.raises(ValueError, match="`curves`"):
            allocate_bits(empty, 0.1)


def test_curves_are_measured_one_tensor_at_a_time():
    model, x = siren_model([2, 8, 8, 1]), torch.rand(50, 2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    target = model(x).detach() + 0.001 * torch.randn(50, 1)

    def mse(m):
        return (m(x) - target).square().mean().item()

    curves = measure_curves(model, mse, (3, 6))
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert list(curves) == list(before) and all(list(curve) == [3, 6] for curve in curves.values())
    weight, base = model[1].linear.weight, mse(model)
    quantizer = fit_quantizer(weight, 3)
    symbols = quantize(weight, quantizer)
    with torch.no_grad():
        weight.copy_(dequantize(symbols, quantizer))
    side = 16 + 25  # step; decay, family and limit
    assert curves["1.linear.weight"][3][1] == max(0.0, mse(model) - base) > 0
    assert curves["1.linear.weight"][3][0] == pytest.approx(code_length(symbols, fit_model(symbols)) + side)
    assert all(error >= 0 for curve in curves.values() for _, error in curve.values())


def test_a_failing_measure_leaves_the_weights():
    model = siren_model([2, 4, 1])
    before, errors = [p.detach().clone() for p in model.parameters()], iter([1.0, 1.1, float("nan")])
    with pytest.raises(ValueError, match="finite"):
        measure_curves(model, lambda m: next(errors), (2, 3))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_is_stored_next_to_the_symbols_is_counted():
    assert side_bits(127) == 16 + 16 + 1 + 8 and side_bits(128) == 16 + 16 + 1 + 16


def test_at_equal_size_chosen_bits_beat_equal_bits():
    model, x = siren_model([2, 16, 16, 1]), torch.rand(200, 2)
    target = model(x).detach()

    def mse(m):
        return (m(x) - target).square().mean().item()

    curves = measure_curves(model, mse)
    chosen = allocate_for_size(curves, sum(curve[5][0] for curve in curves.values()))

    def quantised(bits):
        other = siren_model([2, 16, 16, 1])
        with torch.no_grad():
            for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
                quantizer: Quantizer = fit_quantizer(p, bits[name])
                q.copy_(dequantize(quantize(p, quantizer), quantizer))
        return mse(other)

    assert quantised(chosen) < 0.9 * quantised(dict.fromkeys(chosen, 5))
