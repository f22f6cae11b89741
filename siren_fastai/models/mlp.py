"""Plain coordinate networks: linear layers with a common activation, and the sine-then-tanh mixture.

Sources: Sitzmann et al. 2020, arXiv:2006.09661, and its official code (class `FCBlock`: one initialisation per
activation); He et al. 2015, arXiv:1502.01852, sec. 2.2 (relu, softplus); Glorot & Bengio 2010, AISTATS, sec. 4.2.1
(tanh); Klambauer et al. 2017, arXiv:1706.02515, sec. 3 (selu); Clevert et al. 2015, arXiv:1511.07289 (elu).
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from siren_fastai.models.siren import check_dims, siren_layer

__all__ = ["ACTIVATIONS", "DenseLayer", "dense_layer_", "dense_model", "mlp_model", "mixed_model"]


def _kaiming_normal_(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")  # std sqrt(2/n_in)


def _selu_normal_(weight: Tensor) -> Tensor:
    return nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))


def _elu_normal_(weight: Tensor) -> Tensor:
    return nn.init.normal_(weight, std=math.sqrt(1.5505188080679277 / weight.shape[1]))  # official code


ACTIVATIONS: dict[str, tuple[type[nn.Module], Callable[[Tensor], Tensor]]] = {
    "relu": (nn.ReLU, _kaiming_normal_),
    "tanh": (nn.Tanh, nn.init.xavier_normal_),  # std sqrt(2/(n_in + n_out))
    "selu": (nn.SELU, _selu_normal_),
    "elu": (nn.ELU, _elu_normal_),
    "softplus": (nn.Softplus, _kaiming_normal_),
}


class DenseLayer(nn.Module):
    """`activation(x W^T + b)`: a linear layer and its activation, named as `SineLayer` names its own.

    Shapes: (..., n_in) -> (..., n_out).
    """

    def __init__(
        self,
        n_in: int,  # inputs
        n_out: int,  # outputs
        activation: nn.Module,  # applied to the linear layer's output
    ):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


def dense_layer_(
    linear: nn.Linear,  # changed in place
    activation: str,  # a key of `ACTIVATIONS`
) -> nn.Linear:  # `linear`
    """Draw the weight of `linear` as the official code does before `activation`; the bias stays U(+-1/sqrt(n_in))."""
    ACTIVATIONS[_checked_activation(activation)][1](linear.weight)
    return linear


def mlp_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    activation: str = "relu",  # a key of `ACTIVATIONS`
) -> nn.Sequential:
    """Return a network of `hidden_layers + 1` activated layers of one width and a linear output, for `activation`.

    As in the official code the output layer is drawn like the others. With h = `hidden_features`, l = `hidden_layers`
    it has h (n_in + 1) + l h (h + 1) + n_out (h + 1) parameters.
    Shapes: (n, n_in) -> (n, n_out). Raises: ValueError for an unknown `activation`.
    """
    return dense_model([n_in, *[hidden_features] * (hidden_layers + 1), n_out], activation)


def dense_model(
    dims: Sequence[int],  # every width, from the coordinates' dimension to the number of channels
    activation: str = "relu",  # a key of `ACTIVATIONS`
    final: str = "linear",  # the last layer: "linear", or the name of the activation to have it there too
) -> nn.Sequential:
    """Return a network of activated layers of the widths `dims`, each layer drawn for `activation`, the last one too.

    Shapes: (n, dims[0]) -> (n, dims[-1]).
    Raises: ValueError for an unknown `activation` or `final`, and as `siren_model` for `dims`.
    """
    module, dims = ACTIVATIONS[_checked_activation(activation)][0], check_dims(dims)
    if final not in ("linear", activation):
        raise ValueError(f"`final` must be 'linear' or {activation!r}, as the other layers, got {final!r}")
    layers = [DenseLayer(a, b, module()) for a, b in zip(dims[:-1], dims[1:], strict=True)]
    if final == "linear":
        layers[-1] = layers[-1].linear
    for layer in layers:
        dense_layer_(getattr(layer, "linear", layer), activation)
    return nn.Sequential(*layers)


def mixed_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    omega_0: float = 30.0,  # of the sine layer
) -> nn.Sequential:
    """Return the "mixed" network: a SIREN's first layer, then tanh layers, each with its own family's initialisation.

    Source: the help text of the command line of franec94/My-Siren-Deep-Learning-Test, which names it
    as future work. Shapes: (n, n_in) -> (n, n_out).
    """
    model = mlp_model(n_in, n_out, hidden_features, hidden_layers, "tanh")
    model[0] = siren_layer(n_in, hidden_features, omega_0, first=True)
    return model


def _checked_activation(activation: str) -> str:
    if activation not in ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    return activation
