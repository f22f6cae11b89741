"""What a page computes at a position: a first layer, chosen by a label map if there is one, and the layers after it.

Features of a cell, such as its cluster's label, only shift the first layer's sums, so that they become first layers:
one for each kind of cell.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from siren_fastai.label_maps import MAX_LABELS
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.field import Field
from siren_fastai.page.layers import ADVICE, ENCODINGS, Layer, layers_of
from siren_fastai.page.steps import apply_layer

__all__ = ["Program", "program_of"]


@dataclass(frozen=True)
class Program:
    """A network of two coordinates, (row, column).

    heads: the first layer, one for each label. bodies: the other layers, the same for all labels or one for each.
    Shapes: labels (h, w) int64 on cell centres of [-1, 1]^2, or None.
    """

    heads: list[Layer]
    bodies: list[list[Layer]]
    labels: Tensor | None = None

    @property
    def channels(self) -> int:
        """The values at a position."""
        return len((self.bodies[0] or self.heads)[-1].bias)

    def __call__(
        self,
        coords: Tensor,  # (n, 2)
        half: bool = False,  # with the weights after the first layer rounded to float16
    ) -> Tensor:  # (n, channels) float64
        """Compute what the shader computes, in float64."""
        coords = coords.double()
        kinds = torch.zeros(len(coords), dtype=torch.int64)
        if self.labels is not None:
            kinds = FeatureInput(nn.Identity(), self.labels[..., None]).lookup(coords.float())[:, 0].long()
        values = coords.new_empty(len(coords), self.channels)
        for kind in kinds.unique().tolist():
            places = (kinds == kind).nonzero()[:, 0]
            x = apply_layer(self.heads[kind], coords[places])
            for layer in self.bodies[min(kind, len(self.bodies) - 1)]:
                x = apply_layer(_halved(layer) if half else layer, x)
            values[places] = x
        return values


def program_of(
    model: nn.Module,  # maps positions (n, 2) to values (n, 1) or (n, 3)
) -> Program:
    """Return what a page computes for `model`.

    Raises: TypeError for a network that a page can't draw, ValueError for one that isn't of a gray or colour image.
    """
    model = model.net if isinstance(model, Field) else model
    if type(model) is ClusterNetworks:
        nets = [layers_of(net.net if isinstance(net, Field) else net) for net in model]
        program = Program([net[0] for net in nets], [net[1:] for net in nets], model.features[..., 0].cpu().long())
    elif type(model) is FeatureInput:
        program = _with_features(layers_of(nn.Sequential(*model)), model.features.detach().cpu().double())
    else:
        first, *rest = layers_of(model)
        program = Program([first], [rest])
    _check(program)
    return program


def _with_features(layers: list[Layer], features: Tensor) -> Program:
    """A first layer for each distinct row of `features` (h, w, k)."""
    first, *rest = layers
    if features.dim() != 3 or first.weight.shape[1] != 2 + features.shape[2] or _is_encoding(first):
        raise ValueError(f"features must be inputs of the first layer, next to two coordinates: {ADVICE}")
    rows, labels = features.flatten(0, 1).unique(dim=0, return_inverse=True)
    if len(rows) > MAX_LABELS:
        raise ValueError(f"a page takes features of at most {MAX_LABELS} kinds, got {len(rows)}: {ADVICE}")
    weight = first.weight[:, :2]
    heads = [Layer(weight, first.bias + first.weight[:, 2:] @ row, first.steps) for row in rows]
    return Program(heads, [rest], labels.view(features.shape[:2]))


def _is_encoding(layer: Layer) -> bool:
    return layer.steps[:1] != () and layer.steps[0][0] in ENCODINGS


def _halved(layer: Layer) -> Layer:
    return Layer(layer.weight.half().double(), layer.bias.half().double(), layer.steps)


def _check(program: Program) -> None:
    chains = [[head, *program.bodies[min(i, len(program.bodies) - 1)]] for i, head in enumerate(program.heads)]
    if any([layer.steps for layer in chain] != [layer.steps for layer in chains[0]] for chain in chains):
        raise ValueError(f"a page draws clusters by networks of the same layers, whose widths may differ: {ADVICE}")
    for chain in chains:
        ends = [2, *(len(layer.bias) for layer in chain)]
        reads = [layer.weight.shape[1] for layer in chain]
        if reads != ends[:-1]:
            found = f"layers that read {reads} values and give {ends[1:]}"
            raise ValueError(f"a page needs layers in a chain that reads two coordinates, got {found}: {ADVICE}")
        if ends[-1] not in (1, 3):
            raise ValueError(f"a page shows a gray or colour image, of 1 or 3 values, got {ends[-1]}")
