"""Clusters for the codec: label maps of cells, and the assignment of cells to the network with the smallest error."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from siren_fastai.clusters import kmeans_labels
from siren_fastai.images import resize_image
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.names import CLUSTER_BASES, CLUSTER_USES

__all__ = ["Clusters", "cell_labels", "reassign_"]


@dataclass(frozen=True)
class Clusters:
    """How the codec clusters an image: `k` clusters of square cells of `cell` pixels.

    by: "color" is k-means on the cells' mean colours; "error" starts from it and then gives each cell, in turn with
        further training, to the network with the smallest error there (hard EM); it needs use="network".
    use: "feature" feeds the label, one-hot, to one network; "network" has one network per cluster.
    """

    k: int
    by: str = "color"
    use: str = "feature"
    cell: int = 16

    def __post_init__(self):
        if type(self.k) is not int or not 1 <= self.k <= 256 or type(self.cell) is not int or self.cell < 1:
            raise ValueError(f"`k` must be from 1 to 256 and `cell` at least 1, got {self.k!r} and {self.cell!r}")
        if self.by not in CLUSTER_BASES or self.use not in CLUSTER_USES:
            raise ValueError(
                f"`by` must be one of {CLUSTER_BASES} and `use` one of {CLUSTER_USES}, got {self.by!r} and {self.use!r}"
            )
        if self.by == "error" and self.use != "network":
            raise ValueError("clusters by 'error' belong to networks: use='network'")


def cell_labels(image: Tensor, clusters: Clusters, seed: int = 0) -> Tensor:
    """k-means labels of the cells' mean colours.

    Shapes: (h, w, c) -> (ceil(h / cell), ceil(w / cell)) int64 on the CPU.
    Raises: ValueError for fewer distinct cells than clusters.
    """
    size = [math.ceil(n / clusters.cell) for n in image.shape[:2]]
    return kmeans_labels(resize_image(image.cpu(), tuple(size)), clusters.k, seed=seed)


@torch.no_grad()
def reassign_(model: ClusterNetworks, coords: Tensor, values: Tensor, chunk: int = 1 << 15) -> tuple[float, float]:
    """Give each cell of the label map to the network of least squared error there; returns the MSE before and after.

    The error cannot rise: each cell's own network is among those compared, and keeps the cell if they are equal.
    Shapes: coords (n, 2), values (n, c): all pixels; a cell without a pixel keeps its label.
    """
    labels = model.features.flatten()
    errors = values.new_zeros(len(labels), len(model), dtype=torch.float64)
    for part, goal in zip(coords.split(chunk), values.split(chunk), strict=True):
        cells = model.cells(part)
        for i, net in enumerate(model):
            errors[:, i].index_add_(0, cells, (net(part) - goal).square().sum(1).double())
    own = errors.gather(1, labels[:, None])[:, 0]
    least, best = errors.min(1)
    labels = torch.where(least < own, best, labels)
    model.features.copy_(labels.view(model.features.shape))
    return own.sum().item() / values.numel(), errors.gather(1, labels[:, None]).sum().item() / values.numel()
