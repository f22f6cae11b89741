"""What a `.sirn` file tells about the options that it was made with."""

import math

from torch import Tensor

from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.plan import DENOISER_BYTES, Settings, bytes_for, plan_for
from siren_fastai.codec.source import source_of
from siren_fastai.quality import bits_per_pixel
from siren_fastai.sirn.contents import Denoise, Encoded
from siren_fastai.sirn.format import read
from siren_fastai.sirn.reader import Limits

__all__ = ["differences"]


def differences(
    data: bytes,  # of a `.sirn` file
    image: Tensor,  # (h, w, c) in [0, 1]
    psnr: float | None = None,
    weights: str = "quantized",
    mean: bool = False,
    denoise: str | tuple[str, float] | None = None,
    clusters: Clusters | None = None,
    steps: int | None = None,
    seed: int = 0,
    **target: float | None,  # bpp, quality or max_bytes
) -> list[str]:
    """Say why `data` can't be what `compress(image, ...)` gives for these options; nothing if its fields agree.

    A file doesn't tell `steps`, `seed`, `psnr`, or by what its clusters were made. With clusters, its size is compared
    but for `quality`, and its widths aren't.
    Raises: ValueError if `data` isn't a `.sirn` file.
    """
    encoded, clusters = read(data, Limits(work=math.inf)), None if clusters is None or clusters.k == 1 else clusters
    told = [
        ("image", _shape(encoded.height, encoded.width, encoded.channels), _shape(*image.shape)),
        ("weights", _weights(encoded), weights),
        ("mean colour", _stored(encoded.mean is not None), _stored(bool(mean))),
        ("clusters", _labels_of(encoded), _labels_for(image, clusters)),
    ]
    if denoise != "auto":
        told.append(("denoiser", _named(encoded.denoise), _named(denoise and Denoise(*denoise))))
    found = [f"{what}: {there}, not {wanted}" for what, there, wanted in told if there != wanted]
    if psnr is not None or (clusters and target.get("quality") is not None):
        return found
    settings = Settings(weights=weights, reserve=DENOISER_BYTES if denoise else 0)
    return found + _sizes(data, encoded, image, bool(mean), clusters, settings, target)


def _sizes(data: bytes, encoded: Encoded, image: Tensor, mean: bool, clusters, settings: Settings, target) -> list[str]:
    """More bits than the target allows, and other widths than those planned for it."""
    source, found = source_of(image, mean), []
    most = bytes_for(source, settings, **target)
    if len(data) > most:
        there, allowed = (bits_per_pixel(n, image.shape) for n in (len(data), most))
        found.append(f"size: {len(data):,} bytes ({there:.4g} bits per pixel), above {most:,.0f} ({allowed:.4g})")
    if clusters is None:
        try:
            planned = plan_for(source, most, settings).dims
        except ValueError as error:
            return [*found, str(error)]
        if encoded.networks[0].dims != planned:
            found.append(f"widths: {encoded.networks[0].dims}, not {planned}")
    return found


def _shape(height: int, width: int, channels: int) -> str:
    return f"{height}x{width} pixels of {channels} channel{'s' * (channels > 1)}"


def _weights(encoded: Encoded) -> str:
    tensors = encoded.networks[0].tensors
    if any(tensor.kind == "fp16" for tensor in tensors):
        return "float16"
    return "quantized_rows" if any(tensor.step.dim() for tensor in tensors) else "quantized"


def _stored(whether: bool) -> str:
    return "stored" if whether else "none"


def _labels_of(encoded: Encoded) -> str:
    labels = encoded.labels
    return "none" if labels is None else _labels(labels.k, labels.use, *labels.map.shape)


def _labels_for(image: Tensor, clusters: Clusters | None) -> str:
    if clusters is None:
        return "none"
    return _labels(clusters.k, clusters.use, *(math.ceil(n / clusters.cell) for n in image.shape[:2]))


def _labels(k: int, use: str, height: int, width: int) -> str:
    return f"{k} as {use} in {height}x{width} cells"


def _named(denoise: Denoise | None) -> str:
    return "none" if denoise is None else f"{denoise.method} of strength {denoise.strength:g}"
