"""How many bits each tensor of a network gets: the least error for a size, tensor by tensor.

A curve is a tensor's size and error at each number of bits: {bits: (size in bits, error)}. Errors are assumed to add up
over tensors, as they nearly do while small. Source: Shoham and Gersho 1988 (Lagrangian choice among quantisers).
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.quantizers import BITS, Quantizer, dequantize, fit_quantizer, quantize

__all__ = [
    "Curves",
    "allocate_bits",
    "allocate_for_size",
    "choose_quantizers",
    "measure_curves",
    "sample_error",
    "side_bits",
]

Curves = dict[str, dict[int, tuple[float, float]]]


def allocate_bits(curves: Curves, slope: float) -> dict[str, int]:
    """For each tensor, the bits with the least error + slope * size; the smaller of equals.

    slope: the error that one bit of size may cost, 0 or more.
    Raises: ValueError for a negative or infinite slope, or a tensor without a curve.
    """
    _check(curves)
    if not 0 <= slope < math.inf:
        raise ValueError(f"`slope` must be 0 or more and finite, got {slope!r}")
    return {
        name: min(curve, key=lambda b: (curve[b][1] + slope * curve[b][0], *curve[b])) for name, curve in curves.items()
    }


def allocate_for_size(curves: Curves, budget_bits: float) -> dict[str, int]:
    """For each tensor, the bits with the least error whose sizes sum to at most `budget_bits`.

    The best choice on the convex hull of all choices, by bisection on the slope; the rest of the budget then goes where
    a bit lowers the error most.
    Raises: ValueError for a budget below the smallest choice, naming that choice's size.
    """
    _check(curves)
    chosen = {name: min(curve, key=lambda b: curve[b]) for name, curve in curves.items()}
    if _size(curves, chosen) > budget_bits:
        raise ValueError(f"`budget_bits` must be at least {_size(curves, chosen):.0f}, got {budget_bits!r}")
    slopes, low = _slopes(curves), 0
    high = len(slopes)  # the smallest choice
    while low < high:
        middle = (low + high) // 2
        trial = allocate_bits(curves, slopes[middle])
        if _size(curves, trial) <= budget_bits:
            high, chosen = middle, trial
        else:
            low = middle + 1
    while better := _better(curves, chosen, budget_bits):
        chosen.update(better)
    return chosen


def _slopes(curves: Curves) -> list[float]:
    """Every slope at which some tensor's choice may change, and 0, in ascending order."""
    found = {0.0}
    for curve in curves.values():
        for size, error in curve.values():
            found |= {(error - e) / (s - size) for s, e in curve.values() if s > size and error > e}
    return sorted(found)


def _better(curves: Curves, chosen: dict[str, int], budget: float) -> dict[str, int]:
    """The change of one tensor that lowers the error most per bit within the budget; empty if there is none."""
    left, changes = budget - _size(curves, chosen), []
    for name, curve in curves.items():
        size, error = curve[chosen[name]]
        for bits, (larger, lower) in curve.items():
            if lower < error and larger - size <= left:
                changes.append(((error - lower) / max(larger - size, 1e-9), name, bits))
    return {name: bits for _, name, bits in [max(changes)]} if changes else {}


def _size(curves: Curves, chosen: dict[str, int]) -> float:
    return sum(curves[name][bits][0] for name, bits in chosen.items())


def _check(curves: Curves) -> None:
    if not curves or not all(curves.values()):
        raise ValueError(f"`curves` must hold a curve for each tensor, got {curves!r:.200}")


@torch.no_grad()
def measure_curves(
    model: nn.Module,
    error: Callable[[nn.Module], float],  # a number for a model, such as its MSE
    bits: Iterable[int] = BITS,  # numbers of bits per symbol to measure
    by_row: bool = False,  # a step size for each row of a weight matrix
) -> Curves:
    """The curve of every parameter of `model`: it alone quantised, the others as they are.

    Errors are rises over the model as it is, at least 0. Sizes are those of the entropy-coded symbols with what a file
    stores next to them (`side_bits`).
    Raises: ValueError for an error that isn't finite. The weights are restored in any case.
    """
    base, bits = _finite(error(model)), list(bits)
    curves: Curves = {}
    for name, weight in model.named_parameters():
        original, curves[name] = weight.clone(), {}
        try:
            for b in bits:
                quantizer = fit_quantizer(original, b, by_row)
                symbols = quantize(original, quantizer)
                weight.copy_(dequantize(symbols, quantizer))
                rise = max(0.0, _finite(error(model)) - base)
                symbol_model = fit_model(symbols)
                size = code_length(symbols, symbol_model) + side_bits(symbol_model.limit, quantizer.step.numel())
                curves[name][b] = (size, rise)
        finally:
            weight.copy_(original)
    return curves


def side_bits(limit: int, steps: int = 1) -> int:
    """What a tensor stores next to its symbols: steps and decay as bfloat16, its family, its limit as a varint."""
    return 16 * steps + 16 + 1 + (8 if limit < 128 else 16)


def _finite(error: float) -> float:
    if not math.isfinite(error):
        raise ValueError(f"`error` must give finite numbers, got {error!r}")
    return float(error)


def sample_error(coords: Tensor, values: Tensor) -> Callable[[nn.Module], float]:
    """A function from a network to its mean squared error on these samples, without gradients."""

    @torch.no_grad()
    def error(model: nn.Module) -> float:
        return (model(coords) - values).square().mean().item()

    return error


def choose_quantizers(
    model: nn.Module,
    error: Callable[[nn.Module], float],  # a number for a model, such as its MSE
    budget_bits: float,  # for all tensors, with what a file stores next to their symbols
    bits: Iterable[int] = BITS,  # numbers of bits per symbol to choose from
    by_row: bool = False,  # a step size for each row of a weight matrix
) -> dict[str, Quantizer]:
    """The quantiser of each parameter: bits by allocation within the budget, steps of least squared error.

    Raises: ValueError if the fewest bits for each weight exceed the budget.
    """
    chosen = allocate_for_size(measure_curves(model, error, bits, by_row), budget_bits)
    return {name: fit_quantizer(parameter, chosen[name], by_row) for name, parameter in model.named_parameters()}
