"""Rate-distortion sweeps: the same images as our files at several rates, and as JPEG, WebP and AVIF.

Every point comes from real bytes: the size is that of the whole file, and the pixels are those that the file decodes
to, in 8 bits. PSNR is over R, G and B together, per image. `compare.curves` summarises the points and draws them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siren_fastai.classics import QUALITIES, available_codecs, decode_classic, encode_classic
from siren_fastai.codec.compress import compress
from siren_fastai.compare.curves import COLUMNS, OURS
from siren_fastai.files import replacing
from siren_fastai.images import load_image, to_uint8
from siren_fastai.jobs.call import Failure
from siren_fastai.jobs.run import run_jobs
from siren_fastai.quality import bits_per_pixel, psnr, ssim
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.reader import TRUSTED

__all__ = ["check_sweep", "coded_name", "points"]


def points(
    paths: Sequence[str | Path],
    rates: Sequence[float],
    codecs: Sequence[str] | None = None,
    mode: str | None = None,
    folder: str | Path | None = None,
    say: Callable[[str], None] | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    **options,
) -> Iterator[dict]:
    """One row (a dict with the keys `COLUMNS`) after the other: the classics of all images, then rate by rate ours.

    `rates`: bits per pixel of our files, the `setting` of their rows; a classic's `setting` is its quality, from
    `QUALITIES`. `codecs`: the classics; None all that Pillow has, () none. `mode`: that of `load_image`.
    `folder`: our files are kept there, `<picture>_<rate>bpp.sirn`; None keeps none. `options` go to `compress`, such
    as `steps` and `seed`. A rate that an image is too small for is reported to `say` and left out.
    `jobs`, `scheduler`: our files come from so many processes with one thread each, or from a Dask cluster, as they are
    ready.
    SSIM is NaN for images below 7x7 pixels. Encode and decode seconds are wall-clock, in the process that does it.
    Raises: ValueError at the first row for no images, two of one name, a rate that is not above 0, an unknown codec;
    KeyboardInterrupt for a Ctrl-C, also one after which `compress` returns what it has.
    """
    paths, codecs = [Path(path) for path in paths], available_codecs() if codecs is None else tuple(codecs)
    check_sweep(paths, rates, codecs)
    for path in paths if codecs else ():
        levels = to_uint8(load_image(path, mode=mode))
        for codec in codecs:
            for quality in QUALITIES[codec]:
                yield _classic(path.name, levels, codec, quality)
    ordered = [(rate, path) for rate in sorted(set(map(float, rates))) for path in paths]
    calls = (
        ((rate, path), (path.name, to_uint8(load_image(path, mode=mode)), rate, options)) for rate, path in ordered
    )
    alone = jobs == 1 and scheduler is None
    found = ((key, _ours(*arguments)) for key, arguments in calls) if alone else run_jobs(_ours, calls, jobs, scheduler)
    with closing(found) as outcomes:
        for (rate, path), outcome in outcomes:
            if not isinstance(outcome, tuple):
                _leave_out(f"{path.name} at {rate:g} bits per pixel is left out: ", outcome, say)
                continue
            row, data = outcome
            if folder is not None:
                with replacing(Path(folder) / coded_name(path, rate)) as temporary:
                    temporary.write_bytes(data)
            yield row


def _leave_out(about: str, reason: str | Failure, say: Callable[[str], None] | None) -> None:
    """Say why there is no point. Raises: without `say` ValueError for too low a rate, otherwise RuntimeError."""
    failed = isinstance(reason, Failure)
    if say is None:
        raise RuntimeError(reason.traceback) if failed else ValueError(reason)
    say(about + (reason.message if failed else reason))


def coded_name(picture: str | Path, rate: float) -> str:
    """The name of our file of this image at this rate."""
    return f"{Path(picture).stem}_{float(rate)}bpp.sirn"


def check_sweep(paths: Sequence[str | Path], rates: Sequence[float], codecs: Sequence[str]) -> None:
    """Raise the ValueErrors of `points`, before any work."""
    if not paths:
        raise ValueError("`paths` must name at least one image")
    stems = [Path(path).stem for path in paths]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise ValueError(f"two images are both named {twice!r}; rename one")
    for rate in rates:
        if not 0 < rate < float("inf"):
            raise ValueError(f"`rates` must be bits per pixel above 0, got {rate!r}")
    for codec in codecs:
        if codec not in available_codecs():
            raise ValueError(f"`codecs` must be among {', '.join(available_codecs())}, got {codec!r}")


def _classic(picture: str, levels: np.ndarray, codec: str, quality: int) -> dict:
    began = time.perf_counter()
    data = encode_classic(levels, codec, quality)
    encoded = time.perf_counter()
    decoded = decode_classic(data, levels.shape[-1])
    times = encoded - began, time.perf_counter() - encoded
    return _row(picture, codec, quality, len(data), decoded, levels, times)


def _ours(picture: str, levels: np.ndarray, rate: float, options: dict) -> tuple[dict, bytes] | str:
    """The row and the file, or why the rate is too low."""
    began = time.perf_counter()
    try:
        made = compress(torch.from_numpy(levels), bpp=rate, **options)
    except ValueError as error:
        return str(error)
    if made.report["interrupted"]:
        raise KeyboardInterrupt  # what there is was not trained to its end: no point of a comparison
    encoded = time.perf_counter()
    decoded = decompress(made.data, TRUSTED)
    times = encoded - began, time.perf_counter() - encoded
    return _row(picture, OURS, rate, len(made.data), decoded, levels, times), made.data


def _row(
    picture: str, codec: str, setting: float, n_bytes: int, decoded: Tensor, levels: np.ndarray, seconds: tuple
) -> dict:
    """What is measured of one file, on pixels of 8 bits."""
    target, shown = (pixels.astype(np.float32) / 255 for pixels in (levels, to_uint8(decoded)))
    similarity = ssim(shown, target) if min(levels.shape[:2]) >= 7 else float("nan")
    bpp = bits_per_pixel(n_bytes, levels.shape)
    values = (picture, codec, float(setting), n_bytes, bpp, psnr(shown, target), similarity, *seconds)
    return dict(zip(COLUMNS, values, strict=True))
