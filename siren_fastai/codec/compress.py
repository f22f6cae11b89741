"""An image to a small file in one call: choose a network, fit it, quantise it, fine-tune, write, verify by decoding."""

import time
from collections.abc import Callable, Sequence
from operator import index

import torch
from fastai.callback.core import Callback
from fastai.torch_core import no_random

from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.encode import fit_source, quantize_network
from siren_fastai.codec.plan import DENOISER_BYTES, MAX_BPP, Plan, Settings, bytes_for, plan_for, smallest_file
from siren_fastai.codec.result import Compressed, measured, with_denoiser
from siren_fastai.codec.search import first_bits_per_pixel, search_psnr
from siren_fastai.codec.size import bits_per_pixel_of
from siren_fastai.codec.source import Source, source_of
from siren_fastai.codec.training import Trainer
from siren_fastai.images import load_image
from siren_fastai.names import CODEC_WEIGHTS, DENOISERS
from siren_fastai.quantize.quantizers import BITS
from siren_fastai.sirn.denoise import check_denoise

__all__ = ["Clusters", "Compressed", "compress"]

Denoising = str | tuple[str, float] | None


def compress(
    image,  # path, PIL image, array or tensor, gray or RGB, as `load_image` takes it
    *,
    bpp: float | None = None,  # target: bits per pixel of the whole file, at most
    psnr: float | None = None,  # target: dB over all channels, at least, in as few bytes as possible
    quality: float | None = None,  # target: from 1, the smallest file, to 100, the best
    max_bytes: int | None = None,  # target: bytes of the whole file, at most
    steps: int | None = None,  # training steps of 8192 pixels; by default 37 times the network's width
    seed: int = 0,  # of torch, numpy and random
    device: torch.device | str | None = None,  # to train on; None is fastai's default
    progress: bool = True,  # show a progress bar
    mean: bool = False,  # train on the difference from the mean colour, which the file then stores
    denoise: Denoising = None,  # smooth the decoded image: (method, strength) of `sirn.denoise`, or "auto"
    clusters: Clusters | None = None,  # labels as features, or a network for each cluster
    weights: str = "quantized",  # how they are stored: "quantized", "quantized_rows" or "float16"
    bits: Sequence[int] | None = None,  # per weight, to choose from for each tensor; None is 2 to 10
    cbs: Sequence[Callback] | None = None,  # further fastai callbacks for the fits
    on_plan: Callable[[Plan], None] | None = None,  # called with what is planned, before each encode
) -> Compressed:
    """Compress an image into the bytes of a `.sirn` file, for exactly one target: bpp, psnr, quality or max_bytes.

    psnr: in up to 5 encodes; the smallest file that reaches it is kept. quality: a number of bits per pixel
        (`codec.size.bits_per_pixel_of`), or the smallest possible file if that is larger.
    steps: the last 60 % train with quantised weights. By default at most 3400: some 970 at 3 kB, 2300 at 17 kB. Each
        further round (of two at most) in which the file is too large adds 10 %, and each restart of a fit that diverged
        (two at most) 40 %; `report["steps"]` counts them all.
    denoise: "auto" takes the best of several, or none if none helps.
    weights: "quantized" has one step size per tensor, "quantized_rows" one for each row of a weight matrix, "float16"
        no quantisation: half-precision numbers in a smaller network, trained as floats only.

    Ctrl-C ends training early, and the result is that of the best network so far: `report["interrupted"]` says so. A
    second one raises KeyboardInterrupt.
    The report has bytes, bpp, psnr and ssim of the 8-bit pixels that the file decodes to, the PSNR before quantising
    and before fine-tuning, widths, bits per tensor, steps and seconds, and whether a PSNR target was reached;
    `decoding_seconds`, an estimate for one core (above 1.5, `decompress` needs larger `limits`); and `float_error` of
    `sirn.decode`: below 0.25, every machine decodes the same pixels within one grey level.
    Raises: ValueError for no target or several, one out of range, or one too small for any network.
    """
    pixels = load_image(image)
    _check_target(bpp=bpp, psnr=psnr, quality=quality, max_bytes=max_bytes)
    _check_options(steps, denoise, clusters, weights, bits)
    source = source_of(pixels, mean, clusters)
    settings = Settings(steps, weights, tuple(BITS if bits is None else bits), DENOISER_BYTES if denoise else 0)

    def encode(n_bytes: float) -> Compressed:
        with no_random(seed):
            plan = plan_for(source, n_bytes, settings)
            if on_plan is not None:
                on_plan(plan)
            return _encode(source, plan, Trainer(source.values, device, progress, tuple(cbs or ())), denoise)

    if psnr is None:
        return encode(bytes_for(source, settings, bpp, quality, max_bytes))
    least, per_bit = smallest_file(source, settings), source.size[0] * source.size[1] / 8
    return search_psnr(encode, (least, max(least, MAX_BPP * per_bit)), first_bits_per_pixel(psnr) * per_bit, psnr)


def _encode(source: Source, plan: Plan, trainer: Trainer, denoise: Denoising) -> Compressed:
    """Fit, quantise, write; decode the very bytes, smooth if asked to, report."""
    started = time.perf_counter()
    source, fitted = fit_source(source, plan, trainer)
    found = quantize_network(source, fitted, plan, trainer)
    bits = {name: 16 if found.quantizers is None else found.quantizers[name].bits for name in _names(fitted.model)}
    report = {
        "dims": plan.dims,
        "networks": source.n_networks,
        "weights": plan.weights,
        "bits": bits,
        "psnr_unquantized": source.psnr_of(fitted.model),
        "psnr_untuned": found.psnr_untuned,
        "steps": found.network.steps,
        "interrupted": found.network.interrupted,
    }
    made = measured(found.data, source.image, report)
    try:
        made = with_denoiser(made, source, found, denoise) if denoise else made
    except KeyboardInterrupt:
        if found.network.interrupted:  # the second one
            raise
        made.report["interrupted"] = True
    made.report["seconds"] = time.perf_counter() - started
    return made


def _names(model: torch.nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]


def _check_target(**targets) -> None:
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        raise ValueError("give exactly one target: `bpp`, `psnr`, `quality` or `max_bytes`")
    ((name, value),) = given.items()
    if name == "psnr" and not 10 <= value <= 60:
        raise ValueError(f"`psnr` must be from 10 to 60 dB, got {value!r}")
    if name == "bpp" and not 0 < value <= MAX_BPP:
        raise ValueError(f"`bpp` must be above 0 and at most {MAX_BPP} bits per pixel, got {value!r}")
    if name == "quality":
        bits_per_pixel_of(value)  # or ValueError
    if name == "max_bytes" and (isinstance(value, bool) or index(value) < 1):
        raise ValueError(f"`max_bytes` must be 1 or more, got {value!r}")


def _check_options(steps, denoise: Denoising, clusters, weights, bits) -> None:
    if steps is not None and (isinstance(steps, bool) or steps < 1):
        raise ValueError(f"`steps` must be 1 or more, got {steps!r}")
    if isinstance(denoise, tuple):
        check_denoise(*denoise)
    elif denoise not in (None, "auto"):
        wanted = f"None, 'auto' or (method, strength) with a method of {DENOISERS}"
        raise ValueError(f"`denoise` must be {wanted}, got {denoise!r}")
    if not (clusters is None or isinstance(clusters, Clusters)):
        raise TypeError(f"`clusters` must be None or Clusters(k, ...), got {clusters!r}")
    if weights not in CODEC_WEIGHTS:
        raise ValueError(f"`weights` must be one of {CODEC_WEIGHTS}, got {weights!r}")
    if bits is not None and (weights == "float16" or not bits or not set(bits) <= set(BITS)):
        raise ValueError(f"`bits` must be some of {BITS[0]} to {BITS[-1]}, for quantised weights, got {bits!r}")
