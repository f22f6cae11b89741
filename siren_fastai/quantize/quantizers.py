"""Uniform quantisers of weights, and their gradients for training (`quantize.aware`).

A symbol is round(w / step), clamped to +-(2**(bits - 1) - 1), and stands for symbol * step. Steps are bfloat16 values,
since that is how a file stores them: training and measuring see exactly what a decoder sees.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "BITS",
    "Quantizer",
    "dequantize",
    "fake_quantize",
    "fit_quantizer",
    "narrowest",
    "quantize",
    "round_step",
    "widest",
]

BITS = range(2, 11)
SMALLEST, LARGEST = torch.finfo(torch.bfloat16).tiny, torch.finfo(torch.bfloat16).max  # of a step
CLIPS = 1.1 * 0.97 ** torch.arange(110)  # largest value kept, in shares of the largest weight: 1.1 down to 0.04
TRIAL_NUMBERS = 1 << 18  # weights times steps that are tried at once


@dataclass(frozen=True, eq=False)
class Quantizer:
    """How a tensor is quantised: `bits` per symbol, and the size of a `step`.

    Shapes: step () for the tensor or (rows, 1) for each output channel; float32, above 0, bfloat16 values.
    Raises: ValueError, TypeError for anything else.
    """

    bits: int
    step: Tensor

    def __post_init__(self):
        _check_bits(self.bits)
        if not isinstance(self.step, Tensor) or self.step.dtype != torch.float32:
            raise TypeError(f"`step` must be a float32 tensor, got {getattr(self.step, 'dtype', self.step)!r}")
        if self.step.dim() and (self.step.dim() != 2 or self.step.shape[1] != 1 or not len(self.step)):
            raise ValueError(f"`step` must have the shape () or (rows, 1), got {tuple(self.step.shape)}")
        if not torch.equal(self.step, round_step(self.step)):
            raise ValueError(f"`step` must hold bfloat16 values above 0; use round_step() on it, got {self.step}")

    @property
    def limit(self) -> int:
        """The largest symbol."""
        return _limit(self.bits)


def round_step(step: Tensor) -> Tensor:
    """The nearest bfloat16 values as float32; never 0 or infinite. Shapes: any."""
    return step.detach().float().clamp(SMALLEST, LARGEST).bfloat16().float()


def fit_quantizer(weight: Tensor, bits: int, by_row: bool = False) -> Quantizer:
    """The quantiser of least squared error among steps 3 % apart (then 0.5 %), for the tensor or for each row.

    Tensors of fewer than two dimensions have one step in any case. A tensor (or row) of zeros has the step 1.
    Shapes: weight any but empty; `by_row` counts rows along the first dimension.
    Raises: ValueError for bits outside BITS, an empty weight, NaN or infinity.
    """
    _check_bits(bits)
    weight = _checked(weight)
    rows = weight.reshape(len(weight) if by_row and weight.dim() > 1 else 1, -1)
    largest = rows.abs().amax(1, keepdim=True)
    step = round_step(torch.where(largest > 0, largest / _limit(bits), 1.0))
    for shares in (CLIPS, 1.005 ** torch.arange(-6, 7)):
        step = _best(rows, step, shares.to(step), bits)
    step = torch.where(largest > 0, step, 1.0)
    return Quantizer(bits, step if by_row and weight.dim() > 1 else step.view(()))


def _best(rows: Tensor, step: Tensor, shares: Tensor, bits: int) -> Tensor:
    """Of `step` and its `shares`, the one of least error in each row. Shapes: step (rows, 1), shares (m,)."""
    candidates = torch.cat([step[None], round_step(step * shares.view(-1, 1, 1))])
    some = candidates.split(max(1, TRIAL_NUMBERS // rows.numel()))
    errors = torch.cat([_squared_error(rows, steps, bits) for steps in some])
    return candidates.gather(0, errors.argmin(0, keepdim=True))[0]


def _squared_error(rows: Tensor, step: Tensor, bits: int) -> Tensor:
    return (_symbols(rows, step, bits) * step - rows).double().square().sum(-1, keepdim=True)


def quantize(weight: Tensor, quantizer: Quantizer) -> Tensor:
    """The symbols of `weight`: int32 of its shape, from -quantizer.limit to quantizer.limit.

    Raises: ValueError for NaN, infinity, an empty weight, or a weight that does not have the quantiser's rows.
    """
    weight, step = _checked(weight), quantizer.step.to(weight.device)
    if step.dim() and (weight.dim() < 2 or len(weight) != len(step)):
        raise ValueError(f"`quantizer` has steps for {len(step)} rows, and the weight is {tuple(weight.shape)}")
    return _symbols(weight, _along(step, weight), quantizer.bits).int()


def narrowest(weight: Tensor, quantizer: Quantizer) -> Quantizer:
    """The quantiser of the same step and the fewest bits that gives `weight` the same symbols."""
    largest = quantize(weight, quantizer).abs().max()
    return Quantizer(next(bits for bits in BITS if largest <= _limit(bits)), quantizer.step)


def widest(weight: Tensor, step: Tensor) -> Quantizer:
    """The quantiser of the most bits with this `step`, or with the least one that clamps no weight."""
    most = BITS[-1]
    return Quantizer(most, round_step(torch.maximum(step, 1.005 * weight.abs().max() / _limit(most))))


def dequantize(symbols: Tensor, quantizer: Quantizer) -> Tensor:
    """The values that `symbols` stand for: the product symbol * step in float32, the same on every machine."""
    return symbols.float() * _along(quantizer.step.to(symbols.device), symbols)


def fake_quantize(weight: Tensor, step: Tensor, bits: int, scale: float | None = None) -> Tensor:
    """`weight` as it will be after quantising, with gradients for training.

    The step is rounded to bfloat16 first. `weight`'s gradient passes straight through, and is 0 where it is clamped.
    `step`'s is that of LSQ: (round(w / s) - w / s) inside, +-limit where clamped, times `scale`, by default
    1 / sqrt(n * limit) with n the number of weights that share a step (Esser et al. 2020, arXiv:1902.08153, eq. 3 and
    sec. 2.2).

    Shapes: weight (rows, ...), step () or (rows, 1), as in `Quantizer` -> float32 of weight's shape.
    """
    shared = weight.numel() // step.numel()
    return _FakeQuantize.apply(weight, step, bits, 1 / math.sqrt(shared * _limit(bits)) if scale is None else scale)


class _FakeQuantize(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(weight, step, bits, scale):
        step = _along(round_step(step), weight)
        return _symbols(weight, step, bits) * step

    @staticmethod
    def setup_context(ctx, inputs, output):
        weight, step, ctx.bits, ctx.scale = inputs
        ctx.save_for_backward(weight, step)

    @staticmethod
    def backward(ctx, grad):
        weight, step = ctx.saved_tensors
        ratio = weight.detach() / _along(round_step(step), weight)
        limit = _limit(ctx.bits)
        inside = ratio.abs() <= limit
        grad_step = None
        if ctx.needs_input_grad[1]:
            slope = torch.where(inside, ratio.round() - ratio, ratio.sign() * limit)
            grad_step = (grad * slope).flatten(1 if step.dim() else 0).sum(-1).view(step.shape) * ctx.scale
        return grad * inside if ctx.needs_input_grad[0] else None, grad_step, None, None


def _symbols(weight: Tensor, step: Tensor, bits: int) -> Tensor:
    limit = _limit(bits)
    return (weight.detach() / step).round_().clamp_(-limit, limit)


def _along(step: Tensor, weight: Tensor) -> Tensor:
    """`step` in a shape that meets `weight`'s rows."""
    return step.view(-1, *[1] * (weight.dim() - 1)) if step.dim() and weight.dim() > 2 else step


def _limit(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def _check_bits(bits: int) -> None:
    if isinstance(bits, bool) or bits not in BITS:
        raise ValueError(f"`bits` must be from {BITS[0]} to {BITS[-1]}, got {bits!r}")


def _checked(weight: Tensor) -> Tensor:
    weight = weight.detach().float()
    if not weight.numel() or not torch.isfinite(weight).all():
        raise ValueError(f"weights must be finite and not empty, got a tensor of {tuple(weight.shape)}: {weight}")
    return weight
