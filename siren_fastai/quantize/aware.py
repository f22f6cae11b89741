"""Networks that compute with quantised weights while they are trained.

`quantize_aware_` makes a network compute with quantised weights while its parameters stay free: gradients pass straight
through the rounding, and steps are learned too (LSQ, Esser et al. 2020, arXiv:1902.08153, sec. 2.1 and 2.2). `bake_`
ends it and leaves the quantised values.
"""

import torch
from torch import Tensor, nn

from siren_fastai.quantize.quantizers import Quantizer, dequantize, fake_quantize, quantize, round_step
from siren_fastai.quantize.rate import estimated_bits

__all__ = ["bake_", "bits_of", "is_quantize_aware", "quantize_aware_", "release_"]


def quantize_aware_(model: nn.Module, quantizers: dict[str, Quantizer], learn_steps: bool = True) -> list[nn.Parameter]:
    """From now on `model(...)` computes with quantised weights; its parameters stay free, and keep their names.

    The quantised values are made anew at each call of `model` itself, and each weight is trained by what its quantised
    value did. Returns the parameters of the steps, one vector per quantiser, for an optimiser; none without
    `learn_steps`. They are logarithms of factors on the steps, 0 at first: a learning rate that suits weights suits
    them. `bake_(model)` ends it, `release_(model)` calls it off.

    Raises: ValueError for a name that is no parameter, a quantiser of other rows, or a model that is so already.
    """
    if _aware(model) is not None:
        raise ValueError("`model` is quantisation-aware already: bake_(model) or release_(model) first")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if not quantizers or any(name not in parameters for name in quantizers):
        raise ValueError(f"`quantizers` names {list(quantizers)}; the parameters are {list(parameters)}")
    for name, quantizer in quantizers.items():
        quantize(parameters[name], quantizer)  # or ValueError
    aware = _Aware(model, quantizers, learn_steps)
    model.register_forward_pre_hook(aware.cover)
    model.register_forward_hook(aware.uncover, always_call=True)
    return list(aware.factors.values()) if learn_steps else []


@torch.no_grad()
def bake_(model: nn.Module) -> dict[str, Quantizer]:
    """End what `quantize_aware_` began: plain parameters that hold quantised values, and their quantisers by name.

    A parameter is exactly `dequantize(quantize(parameter, quantizer), quantizer)`.
    Raises: ValueError for a plain model.
    """
    aware = release_(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, quantizer in aware.items():
        parameters[name].copy_(dequantize(quantize(parameters[name], quantizer), quantizer))
    return aware


def release_(model: nn.Module) -> dict[str, Quantizer]:
    """End what `quantize_aware_` began, leaving the parameters as they are; returns the quantisers as learned."""
    aware = _checked(model)
    aware.uncover(model)
    for hooks in (model._forward_pre_hooks, model._forward_hooks, model._forward_hooks_always_called):
        for key in [k for k, hook in hooks.items() if getattr(hook, "__self__", None) is aware]:
            del hooks[key]
    return aware.quantizers()


def is_quantize_aware(model: nn.Module) -> bool:
    """Whether `model` is between `quantize_aware_` and `bake_` or `release_`."""
    return _aware(model) is not None


def bits_of(model: nn.Module) -> Tensor:
    """About the bits of the symbols of a quantisation-aware `model`, with gradients for its weights and steps.

    Raises: ValueError for a plain model.
    """
    aware = _checked(model)
    return estimated_bits((model.get_parameter(name), aware.step(name)) for name in aware.places)


def _aware(model: nn.Module) -> "_Aware | None":
    hooks = [getattr(hook, "__self__", None) for hook in model._forward_pre_hooks.values()]
    return next((hook for hook in hooks if isinstance(hook, _Aware)), None)


def _checked(model: nn.Module) -> "_Aware":
    aware = _aware(model)
    if aware is None:
        raise ValueError("`model` is not quantisation-aware: quantize_aware_(model, quantizers) comes first")
    return aware


class _Aware:
    """The quantisers of a model's parameters, and the attributes that cover those parameters during a call.

    An attribute of a module hides its parameter of the same name from `module.weight`, and from nothing else.
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

    def step(self, name: str) -> Tensor:
        return self.steps[name] * self.factors[name].exp().view(self.steps[name].shape)

    def cover(self, model: nn.Module, *_) -> None:
        for name, places in self.places.items():
            weight = model.get_parameter(name)
            value = fake_quantize(weight, self.step(name), self.bits[name], 1.0)
            for place in places:
                owner, _, leaf = place.rpartition(".")
                model.get_submodule(owner).__dict__[leaf] = value

    def uncover(self, model: nn.Module, *_) -> None:
        for place in (place for places in self.places.values() for place in places):
            owner, _, leaf = place.rpartition(".")
            model.get_submodule(owner).__dict__.pop(leaf, None)

    @torch.no_grad()
    def quantizers(self) -> dict[str, Quantizer]:
        return {name: Quantizer(bits, round_step(self.step(name))) for name, bits in self.bits.items()}
