"""Networks that compute with quantised weights while they are trained.

`quantize_aware_` makes a network compute with quantised weights while its parameters stay free: gradients pass straight
through the rounding, and step sizes are learned too (LSQ, Esser et al. 2020, arXiv:1902.08153, sec. 2.1 and 2.2).
`bake_` ends this and leaves the quantised values.

`torch.nn.utils.parametrize` would do the same, but it renames every parameter in `state_dict`, so that weights saved
during a fit no longer load into the plain network, and its modules cannot be pickled.
"""

import torch
from torch import Tensor, nn

from siren_fastai.quantize.quantizers import Quantizer, dequantize, fake_quantize, quantize, round_step
from siren_fastai.quantize.rate import estimated_bits

__all__ = ["bake_", "bits_of", "is_quantize_aware", "quantize_aware_", "release_"]

ATTRIBUTE = "weight_quantization"  # of a quantisation-aware model


def quantize_aware_(
    model: nn.Module,  # changed in place
    quantizers: dict[str, Quantizer],  # by parameter name
    learn_steps: bool = True,  # whether the step sizes are trained too
) -> list[nn.Parameter]:  # for an optimiser: one vector per quantiser; empty without `learn_steps`
    """From now on `model(...)` computes with quantised weights; its parameters stay free and keep their names.

    The quantised values are computed once per call of `model` itself, and gradients reach each weight through its
    quantised value. The returned parameters are logarithms of factors on the step sizes, 0 at first, so a learning rate
    that suits weights suits them. `bake_(model)` ends this and keeps the quantised values, `release_(model)` ends it
    and keeps the free ones.

    Raises: ValueError for a name that isn't a parameter, a quantiser with another number of rows, or a model that is
    quantisation-aware already.
    """
    if is_quantize_aware(model):
        raise ValueError("`model` is quantisation-aware already: call bake_(model) or release_(model) first")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if not quantizers or any(name not in parameters for name in quantizers):
        raise ValueError(f"`quantizers` names {list(quantizers)}; the parameters are {list(parameters)}")
    for name, quantizer in quantizers.items():
        quantize(parameters[name], quantizer)  # or ValueError
    aware = _Aware(model, quantizers, learn_steps)
    setattr(model, ATTRIBUTE, aware)
    return list(aware.factors.values()) if learn_steps else []


@torch.no_grad()
def bake_(model: nn.Module) -> dict[str, Quantizer]:
    """End `quantize_aware_`: plain parameters that hold quantised values. Returns their quantisers, by name.

    A parameter is exactly `dequantize(quantize(parameter, quantizer), quantizer)`.
    Raises: ValueError for a plain model.
    """
    quantizers = release_(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, quantizer in quantizers.items():
        parameters[name].copy_(dequantize(quantize(parameters[name], quantizer), quantizer))
    return quantizers


def release_(model: nn.Module) -> dict[str, Quantizer]:
    """End `quantize_aware_` and leave the parameters as they are. Returns the quantisers as learned, by name.

    Raises: ValueError for a plain model.
    """
    aware = _checked(model)
    aware.uncover(model)
    for handle in aware.handles:
        handle.remove()
    delattr(model, ATTRIBUTE)
    return aware.quantizers()


def is_quantize_aware(model: nn.Module) -> bool:
    """Whether `model` is between `quantize_aware_` and `bake_` or `release_`."""
    return hasattr(model, ATTRIBUTE)


def bits_of(model: nn.Module) -> Tensor:
    """An estimate of the bits that the symbols of a quantisation-aware `model` take.

    Shapes: a scalar, with gradients for weights and step sizes. Raises: ValueError for a plain model.
    """
    aware = _checked(model)
    return estimated_bits((model.get_parameter(name), aware.step(name)) for name in aware.places)


def _checked(model: nn.Module) -> "_Aware":
    if not is_quantize_aware(model):
        raise ValueError("`model` is not quantisation-aware: call quantize_aware_(model, quantizers) first")
    return getattr(model, ATTRIBUTE)


class _Aware:
    """The quantisers of a model's parameters, and two hooks that put quantised values in their places during a call.

    A plain attribute of a module hides the parameter of the same name from `module.weight`, and from nothing else.
    """

    def __init__(self, model: nn.Module, quantizers: dict[str, Quantizer], learn_steps: bool):
        named = dict(model.named_parameters(remove_duplicate=False))
        self.places = {name: [n for n, p in named.items() if p is named[name]] for name in quantizers}
        self.bits = {name: q.bits for name, q in quantizers.items()}
        self.steps = {name: q.step.to(named[name].device) for name, q in quantizers.items()}
        self.factors = {
            name: nn.Parameter(torch.zeros(step.numel(), device=step.device), requires_grad=learn_steps)
            for name, step in self.steps.items()
        }
        self.handles = [
            model.register_forward_pre_hook(self.cover),
            model.register_forward_hook(self.uncover, always_call=True),
        ]

    def step(self, name: str) -> Tensor:
        return self.steps[name] * self.factors[name].exp().view(self.steps[name].shape)

    def cover(self, model: nn.Module, *_) -> None:
        for name, places in self.places.items():
            value = fake_quantize(model.get_parameter(name), self.step(name), self.bits[name], 1.0)
            for place in places:
                owner, _, leaf = place.rpartition(".")
                object.__setattr__(model.get_submodule(owner), leaf, value)  # nn.Module's accepts parameters alone

    def uncover(self, model: nn.Module, *_) -> None:
        for place in (place for places in self.places.values() for place in places):
            owner, _, leaf = place.rpartition(".")
            vars(model.get_submodule(owner)).pop(leaf, None)

    @torch.no_grad()
    def quantizers(self) -> dict[str, Quantizer]:
        return {name: Quantizer(bits, round_step(self.step(name))) for name, bits in self.bits.items()}
