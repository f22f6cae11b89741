"""Activations by name, for encoders and decoders."""

from torch import nn

__all__ = ["ACTIVATIONS", "activation_layer"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_layer(
    name: str | None,  # a key of `ACTIVATIONS`; None does nothing
) -> nn.Module:
    """Return the activation called `name`. Raises: ValueError for an unknown name."""
    if name is None:
        return nn.Identity()
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation must be one of {', '.join(ACTIVATIONS)} or None, got {name!r}")
    return ACTIVATIONS[name]()
