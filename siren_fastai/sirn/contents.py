"""What a `.sirn` file says, as plain data: the image's grid, networks of coded tensors, labels, a denoiser.

`format.write` turns it into bytes and `format.read` back; `decode.models_of` makes networks of it.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siren_fastai.coords import GRIDS
from siren_fastai.label_maps import MAX_LABELS
from siren_fastai.quantize.quantizers import BITS, Quantizer, dequantize
from siren_fastai.sirn.denoise import check_denoise

__all__ = ["OMEGA", "STEP", "USES", "CodedTensor", "Denoise", "Encoded", "Labels", "Network", "check_omega"]

USES = ("network", "feature", "scalar")
OMEGA = (2.0**-10, 2.0**17)
STEP = (2.0**-126, 2.0**32)  # within these and OMEGA no sum of a network overflows, so no pixel is NaN


@dataclass
class CodedTensor:
    """A weight or a bias as it is stored: symbols times a step, or half precision.

    kind "uniform": `symbols` int32, at most 2**(bits - 1) - 1 in size, and `step` float32 of bfloat16 precision, () or
    (rows, 1) for a weight. kind "fp16": `values`, finite float16.
    Raises: ValueError for anything else.
    """

    kind: str
    bits: int = 16
    step: Tensor | None = None
    symbols: np.ndarray | None = None
    values: np.ndarray | None = None

    def __post_init__(self):
        if self.kind == "fp16":
            values = self.values
            if not isinstance(values, np.ndarray) or values.dtype != np.float16 or not np.isfinite(values).all():
                raise ValueError("`values` of an fp16 tensor must be a finite float16 array: keep weights below 65504")
            self.bits = 16
        elif self.kind == "uniform":
            self._check_symbols()
            self._check_step()
        else:
            raise ValueError(f"`kind` must be 'uniform' or 'fp16', got {self.kind!r}")

    def _check_symbols(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"`bits` must be from {BITS[0]} to {BITS[-1]}, got {self.bits!r}")
        most, symbols = 2 ** (self.bits - 1) - 1, self.symbols
        if not isinstance(symbols, np.ndarray) or symbols.dtype.kind != "i" or symbols.ndim not in (1, 2):
            raise ValueError(f"`symbols` must be a signed integer array of 1 or 2 axes, got {symbols!r:.80}")
        if symbols.size == 0 or np.abs(symbols).max() > most:
            raise ValueError(f"`symbols` of {self.bits} bits must be some numbers from {-most} to {most}")
        self.symbols = symbols.astype(np.int32)

    def _check_step(self) -> None:
        step = torch.as_tensor(self.step, dtype=torch.float32).detach().cpu()
        shapes = [()] + [(len(self.symbols), 1)] * (self.symbols.ndim == 2)
        if tuple(step.shape) not in shapes or not bool(((step >= STEP[0]) & (step <= STEP[1])).all()):
            raise ValueError(f"`step` must be of a shape in {shapes} and from {STEP[0]:g} to {STEP[1]:g}, got {step}")
        if not torch.equal(step, step.bfloat16().float()):
            raise ValueError(f"`step` is stored as bfloat16: round it with `round_step` first, got {step}")
        self.step = step

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return (self.values if self.kind == "fp16" else self.symbols).shape

    def weights(self) -> Tensor:
        """The float32 numbers that the network uses."""
        if self.kind == "fp16":
            return torch.from_numpy(self.values.astype(np.float32))
        return dequantize(torch.from_numpy(self.symbols), Quantizer(self.bits, self.step))


@dataclass
class Network:
    """One SIREN: its widths from inputs to channels, and the weight and bias of each layer in turn."""

    dims: list[int]
    tensors: list[CodedTensor]

    def __post_init__(self):
        if len(self.dims) < 2 or any(type(n) is not int or n < 1 for n in self.dims):
            raise ValueError(f"`dims` must list at least two widths of 1 or more, got {self.dims!r}")
        found = [tensor.shape for tensor in self.tensors]
        if found != self.shapes(self.dims):
            raise ValueError(f"`tensors` must have the shapes {self.shapes(self.dims)} for these dims, got {found}")

    @staticmethod
    def shapes(dims: list[int]) -> list[tuple[int, ...]]:
        """The shapes of weight and bias of each layer."""
        return [s for n_in, n_out in zip(dims[:-1], dims[1:], strict=True) for s in ((n_out, n_in), (n_out,))]

    @staticmethod
    def count(dims: list[int]) -> int:
        """The number of parameters."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(dims[:-1], dims[1:], strict=True))


@dataclass
class Labels:
    """A map of clusters, of the image's size or smaller, laid over it: a position belongs to the cell that holds it.

    use "network": cluster i is drawn by network i. "feature": the label, one-hot, are k more inputs. "scalar":
    label / (k - 1) is one more input. One cluster (k = 1) gives no input.
    Shapes: map (h', w') integers in [0, k).
    """

    map: np.ndarray
    k: int
    use: str = "feature"

    def __post_init__(self):
        self.map = np.asarray(self.map)
        if self.use not in USES or type(self.k) is not int or not 1 <= self.k <= MAX_LABELS:
            raise ValueError(
                f"`use` must be one of {USES} and `k` from 1 to {MAX_LABELS}, got {self.use!r}, {self.k!r}"
            )
        if self.map.dtype.kind not in "iu" or self.map.ndim != 2 or self.map.size == 0:
            raise ValueError(f"`map` must be (h, w) integers, got {self.map.dtype} {self.map.shape}")
        if not 0 <= self.map.min() <= self.map.max() < self.k:
            raise ValueError(f"`map` must be from 0 to k - 1 = {self.k - 1}, got {self.map.min()} to {self.map.max()}")

    @staticmethod
    def features(k: int, use: str) -> int:
        """How many inputs the labels add to a network."""
        return {"network": 0, "feature": k, "scalar": 1}[use] if k > 1 else 0


@dataclass
class Denoise:
    """A denoiser of `sirn.denoise` and its strength, float32."""

    method: str
    strength: float

    def __post_init__(self):
        check_denoise(self.method, self.strength)
        self.strength = struct.unpack("<f", struct.pack("<f", self.strength))[0]


@dataclass
class Encoded:
    """A whole image. Real numbers are rounded to float32, as they are stored.

    networks: one, or one per cluster when `labels.use` is "network".
    mean: the colour that is added to the networks' values, or None.
    Raises: ValueError for parts that do not fit together.
    """

    height: int
    width: int
    channels: int
    networks: list[Network]
    grid: str = "centers"
    omega_0: float = 30.0
    hidden_omega_0: float = 30.0
    mean: tuple[float, ...] | None = None
    labels: Labels | None = None
    denoise: Denoise | None = None

    def __post_init__(self):
        sizes = (self.height, self.width, self.channels)
        if any(type(n) is not int or n < 1 for n in sizes) or self.grid not in GRIDS:
            raise ValueError(f"sizes must be integers above 0 and `grid` one of {GRIDS}, got {sizes}, {self.grid!r}")
        self.omega_0, self.hidden_omega_0 = check_omega(self.omega_0), check_omega(self.hidden_omega_0)
        if self.mean is not None:
            self.mean = tuple(float(np.float32(x)) for x in self.mean)
            if len(self.mean) != self.channels or not all(math.isfinite(x) for x in self.mean):
                raise ValueError(f"`mean` must be {self.channels} finite numbers, got {self.mean}")
        labels = self.labels
        wanted = labels.k if labels and labels.use == "network" else 1
        if len(self.networks) != wanted:
            raise ValueError(f"`networks` must be {wanted}, got {len(self.networks)}")
        if labels and not (labels.map.shape[0] <= self.height and labels.map.shape[1] <= self.width):
            raise ValueError(f"`labels` must not be larger than the image, got {labels.map.shape}")
        inputs = 2 + (Labels.features(labels.k, labels.use) if labels else 0)
        ends = {(network.dims[0], network.dims[-1]) for network in self.networks}
        if ends != {(inputs, self.channels)}:
            raise ValueError(f"networks must go from {inputs} inputs to {self.channels} channels, got {sorted(ends)}")


def check_omega(omega_0: float) -> float:
    """omega_0 as float32, if it is one that a file may hold."""
    if not OMEGA[0] <= omega_0 <= OMEGA[1]:
        raise ValueError(f"omega_0 must be from {OMEGA[0]:g} to {OMEGA[1]:g}, got {omega_0!r}")
    return float(np.float32(omega_0))
