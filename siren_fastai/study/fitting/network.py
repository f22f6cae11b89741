"""The network of a study's fit: widths, initialisation, clusters and the mean colour, as plain settings say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from siren_fastai.clusters import cluster_ranks, label_features
from siren_fastai.codec.clusters import Clusters, cell_labels
from siren_fastai.data import PixelDataLoaders, PixelDataset
from siren_fastai.images import mean_color
from siren_fastai.init import init_for_signal_
from siren_fastai.label_maps import pack_labels
from siren_fastai.models.cluster_networks import ClusterNetworks, RankInput
from siren_fastai.models.features import FeatureInput, add_features_
from siren_fastai.models.mlp import dense_model
from siren_fastai.models.siren import siren_model
from siren_fastai.models.widths import scale_widths
from siren_fastai.schemes import HALF_OMEGA, TORCH_DEFAULT, Rule, Scheme, get_scheme

__all__ = ["Network", "OffsetOutput", "network_of", "scheme_of"]

RULES = {"half_omega": HALF_OMEGA, "torch": TORCH_DEFAULT}
FLOAT_BYTES = 4
MAX_SCALE = 1 << 10  # units of the first hidden layer that `total_bytes` may choose


class OffsetOutput(nn.Sequential):
    """`net` plus a fixed value for each channel, such as the mean colour: the network learns the rest.

    Shapes: (n, d) -> (n, c), with an offset (c,).
    """

    def __init__(self, net: nn.Module, offset: Tensor):
        super().__init__(net)
        self.register_buffer("offset", offset)

    def forward(self, coords: Tensor) -> Tensor:
        return super().forward(coords) + self.offset


@dataclass(frozen=True)
class Network:
    """A network with the label map that it reads; None without clusters. `k` clusters."""

    model: nn.Module
    clusters: ClusterNetworks | FeatureInput | None
    k: int
    weight_bits: int  # that a weight counts for

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    @property
    def label_bytes(self) -> int:
        return 0 if self.clusters is None else len(pack_labels(_labels_of(self.clusters), self.k))

    @property
    def n_bytes(self) -> int:
        """The weights at `weight_bits`, the packed label map, and the mean colour, if there is one, in float32."""
        offset = FLOAT_BYTES * len(self.model.offset) if isinstance(self.model, OffsetOutput) else 0
        return math.ceil(self.weight_bits * self.n_parameters / 8) + self.label_bytes + offset


def scheme_of(
    settings: Mapping,  # complete, of a sine network
) -> Scheme:
    """Return the scheme with the biases, the gain and the omegas that the settings replace."""
    scheme, changes = get_scheme(settings["scheme"]), {}
    for name in ("first_bias", "hidden_bias"):
        value = settings[name]
        if value is not None:
            changes[name] = RULES[value] if isinstance(value, str) else Rule("uniform", float(value))
    for name in ("gain", "omega_0", "hidden_omega_0"):
        if settings[name] is not None:
            changes[name] = float(settings[name])
    return replace(scheme, **changes)


def network_of(
    settings: Mapping,  # complete
    dls: PixelDataLoaders,  # of the image
    image: Tensor,  # (h, w, c)
) -> Network:
    """Return a new network for the data, drawn from the random state; of one cluster, exactly the plain one.

    Raises: ValueError if `total_bytes` are too few for it, or there are fewer distinct colours than clusters.
    """
    offset = mean_color(image) if settings["mean_color"] else image.new_zeros(image.shape[2])
    data, k = dls.train_ds, settings["clusters"]
    labels = _labels(settings, image) if k > 1 else None
    dims = _dims(settings, data, labels, FLOAT_BYTES * len(offset) * settings["mean_color"])
    if k == 1:
        model = _drawn(settings, dims, data.values - offset.to(data.device), data.axis_samples)
    else:
        model = _clustered(settings, dims, image - offset, labels)
    clusters = None if k == 1 else model
    model = OffsetOutput(model, offset) if settings["mean_color"] else model
    return Network(model.to(dls.device), clusters, k, settings["weight_bits"])


def _labels(settings: Mapping, image: Tensor) -> Tensor:
    return cell_labels(image, Clusters(settings["clusters"], cell=settings["cluster_cell"]), settings["seed"])


def _drawn(settings: Mapping, dims: list[int], values: Tensor, shape: Sequence[float]) -> nn.Module:
    """One network of the widths `dims` for the colours `values`; `shape` is the samples along each coordinate."""
    final = settings["activation"] if settings["final"] == "activated" else "linear"
    if settings["activation"] != "sine":
        return dense_model(dims, settings["activation"], final)
    scheme = scheme_of(settings)
    omegas = {name: settings[name] for name in ("omega_0", "hidden_omega_0") if settings[name] is not None}
    model = siren_model(dims, **omegas, bias=scheme.first_bias is not None, final=final)
    return init_for_signal_(model, scheme, values.cpu(), shape)


def _clustered(settings: Mapping, dims: list[int], image: Tensor, labels: Tensor) -> nn.Module:
    """One network that also reads the labels, or one for each of them."""
    k, use = settings["clusters"], settings["cluster_use"]
    if use != "network":
        features = label_features(labels, k, use).view(*labels.shape, -1)
        plain = _drawn(settings, [dims[0] - features.shape[-1], *dims[1:]], image, image.shape[:2])
        return add_features_(plain, features)  # the frequencies of the coordinates stay those of the plain network
    pixels = _at_pixels(labels, image)
    ranked, parts = settings["cluster_coords"] == "cluster", [image[pixels == i] for i in range(k)]
    nets = [_drawn(settings, dims, part, (len(part),) if ranked else image.shape[:2]) for part in parts]
    if ranked:
        ranks = cluster_ranks(pixels)
        nets = [RankInput(net, ranks) for net in nets]
    return ClusterNetworks(nets, labels)


def _at_pixels(labels: Tensor, image: Tensor) -> Tensor:
    """The label (h, w) of each pixel, by the cell that holds its centre."""
    rows, columns = (
        torch.div((2 * torch.arange(n) + 1) * cells, 2 * n, rounding_mode="floor")
        for n, cells in zip(image.shape[:2], labels.shape, strict=True)
    )
    return labels[rows][:, columns]


def _labels_of(model: ClusterNetworks | FeatureInput) -> Tensor:
    """The label map (h, w) from the features that hold it."""
    features = model.features.cpu()
    if isinstance(model, ClusterNetworks):
        return features[..., 0]
    if features.shape[-1] > 1:
        return features.argmax(-1)
    steps = features.unique()  # label / (k - 1), every label used
    return torch.searchsorted(steps, features[..., 0].contiguous())


def _dims(settings: Mapping, data: PixelDataset, labels: Tensor | None, offset_bytes: int) -> list[int]:
    """The widths of the network, or of each of several."""
    k, use = settings["clusters"], settings["cluster_use"]
    inputs = data.coords.shape[1]
    if k > 1:
        ranked = settings["cluster_coords"] == "cluster"
        inputs = 1 if ranked else inputs + {"feature": k, "scalar": 1, "network": 0}[use]
    hidden = settings["dims"][1:-1] if settings["dims"] else settings["hidden"]
    dims = [inputs, *hidden, data.n_channels]
    if settings["total_bytes"] is None:
        return scale_widths(dims, settings["mult"])
    label_bytes = _label_bytes(settings, labels)
    free = settings["total_bytes"] - label_bytes - offset_bytes
    bits = settings["weight_bits"] * (k if use == "network" else 1)
    fits = [d for d in _scaled(dims) if bits * _n_weights(d) <= 8 * free]
    if not fits:
        raise ValueError(
            f"`total_bytes`: {settings['total_bytes']} are too few for widths in the proportions of {hidden} and "
            f"{label_bytes} bytes of labels"
        )
    return fits[-1]


def _label_bytes(settings: Mapping, labels: Tensor | None) -> int:
    """What the label map takes; of labels that will change, what a map without any structure takes."""
    if labels is None:
        return 0
    if settings["cluster_by"] == "color":
        return len(pack_labels(labels, settings["clusters"]))
    generator = torch.Generator().manual_seed(0)
    return len(
        pack_labels(torch.randint(settings["clusters"], labels.shape, generator=generator), settings["clusters"])
    )


def _scaled(dims: list[int]) -> list[list[int]]:
    return [scale_widths(dims, n / dims[1]) for n in range(1, MAX_SCALE + 1)]


def _n_weights(dims: list[int]) -> int:
    return sum((a + 1) * b for a, b in zip(dims[:-1], dims[1:], strict=True))
