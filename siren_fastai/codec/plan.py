"""What is decided before any training: the network's widths, the training steps, the bytes of each part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from siren_fastai.codec.size import bits_per_pixel_of, dims_for, least_bytes, steps_for
from siren_fastai.codec.source import Source
from siren_fastai.quantize.quantizers import BITS
from siren_fastai.sirn.work import decoding_work

__all__ = ["BATCH", "DENOISER_BYTES", "MAX_BPP", "Plan", "Settings", "bytes_for", "plan_for", "smallest_file"]

MAX_BPP = 24
DENOISER_BYTES = 7  # of a file that names one
BATCH = 8192  # pixels per step: one layer's activations fit a processor's cache
TUNING_COST, CHOICE_STEPS = 1.6, 200  # in steps with float weights: a quantised one; choosing the bits of the tensors
TUNING_SHARE, RETUNE_SHARE = 0.6, 0.1  # of the steps: with quantised weights; and in each further round


@dataclass(frozen=True)
class Settings:
    """What a caller asks for, whatever the size: see `compress`.

    reserve: bytes of each file to leave free.
    """

    steps: int | None = None
    weights: str = "quantized"
    bits: Sequence[int] = tuple(BITS)
    reserve: int = 0


@dataclass(frozen=True)
class Plan:
    """How an image becomes a file of at most `file_bytes`, of which the tensors may take about `tensor_bytes`.

    dims: the widths of each network. fit_steps: training steps with float weights; tuning_steps: with quantised ones;
    retune_steps: in each further round in which the file is too large. weights, bits: as in `Settings`.
    """

    dims: list[int]
    file_bytes: float
    tensor_bytes: float
    fit_steps: int
    tuning_steps: int
    retune_steps: int
    weights: str
    bits: Sequence[int]

    @property
    def steps(self) -> int:
        """Training steps, unless a fit has to be restarted or the file comes out too large."""
        return self.fit_steps + self.tuning_steps

    def work_until(self, step: int) -> float:
        """How long the first `step` training steps take, in comparison with other plans and steps."""
        tuning = max(0, step - self.fit_steps)
        steps = min(step, self.fit_steps) + TUNING_COST * tuning + (CHOICE_STEPS if tuning else 0)
        return steps * decoding_work(1, BATCH, self.dims[-1], [self.dims])


def plan_for(source: Source, n_bytes: float, settings: Settings) -> Plan:
    """The plan for a file of at most `n_bytes`.

    Raises: ValueError if no network is small enough, naming the size of the smallest possible file.
    """
    tensor_bytes = n_bytes - source.side_bytes - settings.reserve
    try:
        dims = dims_for(tensor_bytes, *_shape(source), settings.weights)
    except ValueError:
        least, per_byte = smallest_file(source, settings), 8 / math.prod(source.size)
        raise ValueError(
            f"a file of {n_bytes:.0f} bytes ({n_bytes * per_byte:.3g} bits per pixel) is too small: the smallest "
            f"possible file has {least} bytes ({math.ceil(1e3 * least * per_byte) / 1e3:g} bits per pixel)"
        ) from None
    steps = settings.steps or steps_for(dims)
    tuning = 0 if settings.weights == "float16" else min(steps - 1, round(TUNING_SHARE * steps))
    retune = max(1, round(RETUNE_SHARE * steps))
    file_bytes = n_bytes - settings.reserve
    return Plan(dims, file_bytes, tensor_bytes, steps - tuning, tuning, retune, settings.weights, settings.bits)


def bytes_for(
    source: Source,
    settings: Settings,
    bpp: float | None = None,
    quality: float | None = None,
    max_bytes: int | None = None,
) -> float:
    """The bytes that a file of `source` may have for one of these targets of `compress`."""
    least, per_bit = smallest_file(source, settings), math.prod(source.size) / 8
    if quality is not None:
        return max(least, bits_per_pixel_of(quality) * per_bit)
    return bpp * per_bit if bpp is not None else min(max_bytes, max(least, MAX_BPP * per_bit))


def smallest_file(source: Source, settings: Settings) -> int:
    """The smallest size in bytes that `plan_for` accepts."""
    return source.side_bytes + settings.reserve + least_bytes(*_shape(source), settings.weights)


def _shape(source: Source) -> tuple[int, int, int]:
    return source.channels, source.inputs, source.n_networks
