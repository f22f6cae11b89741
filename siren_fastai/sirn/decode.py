"""From a `.sirn` file to its pixels: the networks rebuilt, rendered, the mean colour added, the denoiser applied.

On one machine with one thread count a file always gives the same pixels, bit for bit. Other processors and thread
counts sum in other orders: 8-bit pixels then differ by one grey level at most, if the file's `float_error` is below a
quarter, as it is by far in the files of `compress`.
"""

import copy
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from siren_fastai.clusters import label_features
from siren_fastai.coords import grid_coords
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.siren import siren_model
from siren_fastai.render import render
from siren_fastai.sirn.denoise import denoise
from siren_fastai.sirn.format import MAGIC, Encoded, Limits, Network, read
from siren_fastai.sirn.work import chunk_for

__all__ = ["decode", "decompress", "float_error", "models_of", "read_file"]

SAMPLES = 64  # positions per axis at which `float_error` compares


def decompress(data: bytes | str | os.PathLike, limits: Limits | None = None) -> Tensor:
    """The image in a file, given as its bytes or its path.

    Shapes: (h, w, c) float32 in [0, 1].
    Raises: FormatError, a ValueError, for what `read` refuses; OSError for a path that cannot be opened.
    """
    return decode(read_file(data, limits))


def read_file(data: bytes | str | os.PathLike, limits: Limits | None = None) -> Encoded:
    """What a file says, given as its bytes or its path; as `decompress`."""
    if isinstance(data, (str, os.PathLike)):
        with open(Path(data), "rb") as file:
            head = file.read(len(MAGIC))  # a foreign file is not read to its end
            data = head + (file.read((limits or Limits()).size) if head == MAGIC else b"")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"`data` must be bytes or a path, got {type(data).__name__}")
    return read(data, limits)


def decode(encoded: Encoded) -> Tensor:
    """The image that `encoded` describes. Shapes: (h, w, c) float32 in [0, 1]."""
    widest = max(max(network.dims) for network in encoded.networks)
    size = (encoded.height, encoded.width)
    image = render(models_of(encoded), size, grid=encoded.grid, clamp=None, chunk=chunk_for(widest))
    if encoded.mean is not None:
        image.add_(torch.tensor(encoded.mean))
    image = image.clamp_(0, 1)
    return denoise(image, encoded.denoise.method, encoded.denoise.strength) if encoded.denoise else image


@torch.no_grad()
def float_error(encoded: Encoded) -> float:
    """How far float32 arithmetic is from float64 for this file, in grey levels of 8 bits: what decoders may differ by.

    The largest difference before denoising, at up to 64 x 64 positions. Large weights and frequencies make it large.
    """
    model = models_of(encoded)
    exact = copy.deepcopy(model).double()
    coords = grid_coords(tuple(min(SAMPLES, n) for n in (encoded.height, encoded.width)), encoded.grid)
    if isinstance(model, FeatureInput):  # not at the edges of cells, where rounding decides which cell it is
        coords = coords[model.cells(coords) == exact.cells(coords.double())]
    mean = torch.tensor(encoded.mean or 0.0)
    values = [net(at).double().add(mean).clamp(0, 1) for net, at in ((model, coords), (exact, coords.double()))]
    return 255 * (values[0] - values[1]).abs().max().item()


def models_of(encoded: Encoded) -> nn.Module:
    """The network of the whole image, which `render` samples at any size; mean colour and denoiser aren't in it.

    Shapes: (n, 2) coordinates in [-1, 1] -> (n, channels).
    """
    omegas, labels = (encoded.omega_0, encoded.hidden_omega_0), encoded.labels
    models = [_siren(network, *omegas) for network in encoded.networks]
    if labels is None:
        return models[0]
    if labels.use == "network":
        return ClusterNetworks(models, torch.from_numpy(labels.map.astype("int64")))
    return FeatureInput(models[0], label_features(labels.map, labels.k, labels.use).view(*labels.map.shape, -1))


def _siren(network: Network, omega_0: float, hidden_omega_0: float) -> nn.Sequential:
    """The SIREN with the stored weights, made without drawing any random ones."""
    with torch.device("meta"):
        model = siren_model(network.dims, omega_0, hidden_omega_0)
    names = list(model.state_dict())
    weights = [tensor.weights() for tensor in network.tensors]
    model.load_state_dict(dict(zip(names, weights, strict=True)), assign=True)
    return model
