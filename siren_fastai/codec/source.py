"""What the codec's networks learn: an image, less its mean colour where that is stored, and its label map."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from siren_fastai.clusters import label_features
from siren_fastai.codec.clusters import Clusters, cell_labels
from siren_fastai.coords import grid_coords
from siren_fastai.images import add_mean, mean_color
from siren_fastai.init import init_for_signal_
from siren_fastai.label_maps import encode_labels
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.render import render
from siren_fastai.schemes import SCHEMES, Scheme
from siren_fastai.sirn.contents import Labels

__all__ = ["Source", "source_of"]

FRAME = 24  # approximate bytes of a file that are neither tensors nor labels
FREQUENCIES = 20  # rad per unit, up to where the first ones reach: small networks hold little detail, whatever the size


@dataclass(frozen=True)
class Source:
    """An image to encode, and what a file stores next to its networks.

    mean: (c,), the colour that the file stores, or None. labels: the label map that the file stores, or None.
    by_error: whether cells move to the network with the smallest error as training goes on.
    Shapes: image (h, w, c) float32 in [0, 1].
    """

    image: Tensor
    mean: Tensor | None = None
    labels: Labels | None = None
    by_error: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return tuple(self.image.shape[:2])

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.image.shape[2]

    @property
    def values(self) -> Tensor:
        """What the networks learn, (h, w, c): the image less the mean colour."""
        return self.image if self.mean is None else self.image - self.mean

    @property
    def n_networks(self) -> int:
        """One network, or one per cluster."""
        return self.labels.k if self.labels is not None and self.labels.use == "network" else 1

    @property
    def inputs(self) -> int:
        """Inputs of each network: two coordinates, and the labels as features."""
        return 2 + (Labels.features(self.labels.k, self.labels.use) if self.labels is not None else 0)

    @property
    def side_bytes(self) -> int:
        """Approximate bytes of a file that aren't tensors: its frame, the mean colour, the label map."""
        labels = 0 if self.labels is None else 10 + len(encode_labels(self.labels.map, self.labels.k))
        return FRAME + (0 if self.mean is None else 4 * self.channels) + labels

    def samples(self) -> tuple[Tensor, Tensor]:
        """All pixels: coordinates (n, 2) and values (n, c)."""
        return grid_coords(self.size), self.values.flatten(0, 1)

    def network(self, dims: list[int]) -> nn.Module:
        """A new network of these widths, or one per cluster, drawn around the mean of the values."""
        scheme = _start(self.size)
        nets = [init_for_signal_(siren_model(dims), scheme, self.values, self.size) for _ in range(self.n_networks)]
        if self.labels is None:
            return nets[0]
        labels = torch.from_numpy(self.labels.map)
        if self.labels.use == "network":
            return ClusterNetworks(nets, labels)
        return FeatureInput(nets[0], label_features(labels, self.labels.k, self.labels.use).view(*labels.shape, -1))

    def psnr_of(self, model: nn.Module) -> float:
        """PSNR in dB of the image that `model` gives, neither clamped nor rounded to 8 bits."""
        image = render(model, self.size, clamp=None)
        return psnr(image if self.mean is None else add_mean(image, self.mean), self.image)


def _start(size: tuple[int, int]) -> Scheme:
    """The scheme of the codec's networks: "fast" with low frequencies and an output as large as the other layers."""
    fast = SCHEMES["fast"]
    first = replace(fast.first, scale=FREQUENCIES)
    return replace(fast, first=first, first_samples=math.sqrt(math.prod(size)), output=fast.hidden)


def source_of(image: Tensor, mean: bool = False, clusters: Clusters | None = None) -> Source:
    """The source of `image` (h, w, c): with its mean colour taken out if `mean`, and clustered as `clusters` says.

    Raises: ValueError for more clusters than distinct cells.
    """
    labels = None
    if clusters is not None and clusters.k > 1:
        labels = Labels(cell_labels(image, clusters).numpy(), clusters.k, clusters.use)
    by_error = labels is not None and clusters.by == "error"
    return Source(image, mean_color(image) if mean else None, labels, by_error)
