"""One coordinate network for each cluster of a signal: a label map decides which network draws a position."""

from torch import Tensor, nn

from siren_fastai.models.features import FeatureInput

__all__ = ["ClusterNetworks", "RankInput"]


class ClusterNetworks(FeatureInput):
    """Several networks, each for its own cluster: a position goes to the network of the cell that holds it.

    labels: (h, w) int64 on cell centres of [-1, 1]^2, from 0 to len(models) - 1.
    Shapes: (n, 2) -> (n, channels).
    """

    def __init__(self, models: list[nn.Module], labels: Tensor):
        super().__init__(nn.Sequential(*models), labels[..., None])

    def forward(self, coords: Tensor) -> Tensor:
        """The values of each position's own network."""
        labels, values = self.lookup(coords)[:, 0].long(), None
        for label in labels.unique().tolist():
            places = (labels == label).nonzero().flatten()
            part = self[label](coords[places])
            values = part.new_empty(len(coords), part.shape[-1]) if values is None else values
            values[places] = part
        return values


class RankInput(FeatureInput):
    """`net` applied to the features of the cell that holds a position, and not to the position itself.

    features: (h, w, k) on cell centres of [-1, 1]^2, such as `cluster_ranks`: the network's only coordinates.
    Shapes: (n, 2) -> whatever `net` gives for (n, k).
    """

    def forward(self, coords: Tensor) -> Tensor:
        return nn.Sequential.forward(self, self.lookup(coords))
