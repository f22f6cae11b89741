"""One picture on its way to a file of a given size: the network, its training, its bits."""

import math
from dataclasses import dataclass, field

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from siren_fastai.clusters import label_features
from siren_fastai.codec.clusters import Clusters, cell_labels, reassign_
from siren_fastai.codec.size import dims_for, least_bytes, steps_for
from siren_fastai.codec.training import Training
from siren_fastai.coords import grid_coords
from siren_fastai.images import add_mean, mean_color
from siren_fastai.init import center_output_
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.quantize.allocate import choose_quantizers, sample_error
from siren_fastai.quantize.quantizers import fit_quantizer
from siren_fastai.render import render
from siren_fastai.sirn.contents import Denoise, Labels
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.encode import encoded_of
from siren_fastai.sirn.format import write
from siren_fastai.sirn.labels import encode_labels
from siren_fastai.sirn.reader import TRUSTED

__all__ = ["Job"]

FRAME = 24  # bytes of a file that are neither tensors nor labels, about
SAMPLES = 1 << 15  # pixels on which the bits of the tensors are chosen
TUNE, AGAIN = 0.6, 0.1  # steps with quantised weights, in shares of all; and of each further round
CLOSE = 0.99  # of the bytes: what a round aims at
HASTY = 8  # bits of every tensor when Ctrl-C ends their choice
ROUNDS = 3  # of assignment, for clusters by error; and of fine-tuning, until the file fits


@dataclass
class Job:
    """What is asked for; `encode` may be called with several sizes, and leaves `reserve` bytes of each free.

    steps: of training; None is `steps_for` each network.
    """

    picture: Tensor
    steps: int | None
    device: torch.device | str | None = None
    progress: bool = True
    mean: bool = False
    clusters: Clusters | None = None
    cbs: list[Callback] = field(default_factory=list)
    reserve: int = 0

    def least_bytes(self) -> int:
        """The smallest size that `encode` accepts."""
        labels = self._labels()
        return self._beside(labels) + least_bytes(self.picture.shape[2], *self._inputs(labels))

    def encode(self, n_bytes: float) -> tuple[bytes, dict]:
        """The file of at most `n_bytes`, and a report.

        Raises: ValueError before any training if no network is small enough.
        """
        self.offset = mean_color(self.picture) if self.mean else None
        self.labels = self._labels()
        dims = self._dims(n_bytes)
        self.planned = self.steps or steps_for(dims)
        training = Training(self._network(dims), self._values(), self.device, self.progress, self.cbs)
        self._fit(training)
        self.model = training.model.cpu()
        report = {"dims": dims, "networks": len(self.model) if self._several() else 1, "psnr_unquantized": self._psnr()}
        data = self._quantize(training, n_bytes - self.reserve, n_bytes - self._beside(self.labels), report)
        bits = {name: quantizer.bits for name, quantizer in self.quantizers.items()}
        return data, {**report, "bits": bits, "steps": training.steps, "interrupted": training.interrupted}

    def write(self, smoothing: Denoise | None = None) -> bytes:
        """The file of the network as it is."""
        size = tuple(self.picture.shape[:2])
        return write(encoded_of(self.model, size, self.quantizers, self.offset, self.labels, smoothing))

    def _quantize(self, training: Training, n_bytes: float, spare: float, report: dict) -> bytes:
        """Choose bits, train on at a price for bits, again if the file is too large; at last with bits chosen anew."""
        budget, data = 8 * spare, self._choose(training, 8 * spare)
        report["psnr_untuned"] = self._psnr_of(data)
        for i in range(ROUNDS):
            if training.interrupted or (i and len(data) <= n_bytes):
                break
            data = self._tune(training, CLOSE * n_bytes / len(data), again=i > 0)
        while len(data) > n_bytes:
            data = self._choose(training, budget)
            budget *= CLOSE * min(1.0, n_bytes / len(data))
        return data

    def _choose(self, training: Training, budget: float) -> bytes:
        """The file with bits for each tensor by rate and distortion, or with many if Ctrl-C ends their choice."""
        try:
            self.quantizers = choose_quantizers(self.model, self._error(), budget)
        except KeyboardInterrupt:
            training.interrupted = True
            self.quantizers = {name: fit_quantizer(p, HASTY) for name, p in self.model.named_parameters()}
        return self.write()

    def _tune(self, training: Training, share: float, again: bool) -> bytes:
        """The file after training with quantised weights towards `share` of their present bits."""
        steps = max(1, round((AGAIN if again else TUNE) * self.planned))
        self.quantizers = training.tune_towards(share, self.quantizers, steps, gently=again)
        self.model = training.model
        return self.write()

    def _fit(self, training: Training) -> None:
        rounds = ROUNDS if self.clusters and self.clusters.by == "error" else 1
        for i in range(rounds):
            training.fit(max(1, round((1 - TUNE) * self.planned / rounds)))
            if training.interrupted or i == rounds - 1:
                return
            reassign_(training.model.cpu(), *self._samples())
            self.labels.map = training.model.features[..., 0].numpy()

    def _several(self) -> bool:
        return self.clusters is not None and self.clusters.use == "network" and self.clusters.k > 1

    def _labels(self) -> Labels | None:
        if self.clusters is None or self.clusters.k == 1:
            return None
        labels = cell_labels(self.picture, self.clusters)
        return Labels(labels.numpy(), self.clusters.k, self.clusters.use)

    def _beside(self, labels: Labels | None) -> int:
        """Bytes of a file beside the tensors, about, with those to leave free."""
        mean = 4 * self.picture.shape[2] if self.mean else 0
        return FRAME + self.reserve + mean + (10 + len(encode_labels(labels.map, labels.k)) if labels else 0)

    def _inputs(self, labels: Labels | None) -> tuple[int, int]:
        """The inputs of each network, and the number of networks."""
        return 2 + (Labels.features(labels.k, labels.use) if labels else 0), self.clusters.k if self._several() else 1

    def _dims(self, n_bytes: float) -> list[int]:
        try:
            return dims_for(n_bytes - self._beside(self.labels), self.picture.shape[2], *self._inputs(self.labels))
        except ValueError:
            least, per_byte = self.least_bytes(), 8 / self._n_pixels()
            raise ValueError(
                f"a file of {n_bytes:.0f} bytes ({n_bytes * per_byte:.3g} bits per pixel) is too small: the smallest "
                f"possible file has {least} bytes ({math.ceil(1e3 * least * per_byte) / 1e3:g} bits per pixel)"
            ) from None

    def _network(self, dims: list[int]) -> nn.Module:
        nets = [siren_model(dims) for _ in range(self.clusters.k if self._several() else 1)]
        for net in nets:
            center_output_(net, self._values())
        if self.labels is None:
            return nets[0]
        labels = torch.from_numpy(self.labels.map)
        if self._several():
            return ClusterNetworks(nets, labels)
        return FeatureInput(nets[0], label_features(labels, self.labels.k).view(*labels.shape, -1))

    def _values(self) -> Tensor:
        return self.picture if self.offset is None else self.picture - self.offset

    def _n_pixels(self) -> int:
        return self.picture.shape[0] * self.picture.shape[1]

    def _samples(self) -> tuple[Tensor, Tensor]:
        return grid_coords(tuple(self.picture.shape[:2])), self._values().flatten(0, 1)

    def _error(self):
        coords, values = self._samples()
        some = torch.randperm(len(coords))[:SAMPLES]
        return sample_error(coords[some], values[some])

    def _psnr(self) -> float:
        """Of the network as it is, without rounding to 8 bits."""
        image = render(self.model, tuple(self.picture.shape[:2]), clamp=None)
        image = image if self.offset is None else add_mean(image, self.offset)
        return psnr(image, self.picture)

    def _psnr_of(self, data: bytes) -> float:
        return psnr(decompress(data, TRUSTED), self.picture)
