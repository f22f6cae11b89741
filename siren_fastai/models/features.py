"""A network that also reads features stored on a grid over the signal, such as cluster labels."""

import torch
from torch import Tensor, nn

__all__ = ["FeatureInput", "add_features_", "widen_input_"]


class FeatureInput(nn.Sequential):
    """`net` applied to (coordinates, features of the nearest cell): the features are part of the model, as a buffer.

    net: its first layer reads d + k inputs. The parameters keep their names if it is an `nn.Sequential`.
    features: (*shape, k) on cell centres of [-1, 1]^d; they travel with `state_dict`, `to` and pickles, and so does
        their cost: whoever counts the size of a compressed signal counts them too.
    Shapes: (n, d) -> whatever `net` gives for (n, d + k).
    """

    def __init__(self, net: nn.Module, features: Tensor):
        super().__init__(*(net if isinstance(net, nn.Sequential) else [net]))
        self.register_buffer("features", features)

    def forward(self, coords: Tensor) -> Tensor:
        return super().forward(torch.cat([coords, self.lookup(coords)], dim=-1))

    def lookup(self, coords: Tensor) -> Tensor:
        """Return the features (n, k) of the cells that hold `coords` (n, d); outside [-1, 1], of the nearest cell."""
        return self.features.flatten(0, -2)[self.cells(coords)].to(coords.dtype)

    def cells(self, coords: Tensor) -> Tensor:
        """Return the numbers, in raster order, of the cells that hold `coords` (n, d): (n,) int64."""
        index = torch.zeros_like(coords[:, 0], dtype=torch.int64)
        for axis, n in enumerate(self.features.shape[:-1]):  # plain numbers: a tensor of them would be a GPU's wait
            cell = ((coords[:, axis] + 1) / 2 * n).floor().long().clamp_(0, n - 1)
            index = index * n + cell
        return index


def add_features_(
    model: nn.Module,  # changed in place: its first linear layer reads the d coordinates
    features: Tensor,  # (*shape, k) on a grid of d axes
) -> FeatureInput:
    """Let `model` also read `features` (*shape, k): its first layer is widened in place, and it is wrapped.

    A `FeatureInput` of the same features is returned as it is.
    Raises: ValueError for one of other features, or a first linear layer that does not read the d coordinates, as that
    of a network that was widened before.
    """
    if isinstance(model, FeatureInput):
        if not torch.equal(model.features.cpu(), features.cpu()):
            raise ValueError("`model` reads other features already; give a new network, or the same features")
        return model
    d, first = features.dim() - 1, _first_linear(model)
    if first.in_features != d:
        raise ValueError(
            f"the first linear layer of `model` must read {d} coordinates, got {first.in_features} inputs. If it was "
            "widened for another learner, give that learner's `learn.model`, or a new network"
        )
    return FeatureInput(widen_input_(model, features.shape[-1]), features)


@torch.no_grad()
def widen_input_(
    model: nn.Module,  # changed in place
    extra: int,  # further inputs, 0 or more
) -> nn.Module:  # `model`
    """Let the first linear layer of `model` read `extra` more inputs, in place, with weights as large as the old ones.

    The new columns are uniform with the deviation of the old weights; the old columns stay as they are.
    Raises: ValueError if the model has no linear layer.
    """
    first = _first_linear(model)
    if extra:
        bound = first.weight.std(correction=0) * 3**0.5
        columns = first.weight.new_empty(first.out_features, extra).uniform_(-1, 1) * bound
        first.weight = nn.Parameter(torch.cat([first.weight, columns], dim=1))
        first.in_features += extra
    return model


def _first_linear(model: nn.Module) -> nn.Linear:
    first = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
    if first is None:
        raise ValueError(f"`model` must start with a linear layer, got {type(model).__name__} without any")
    return first
