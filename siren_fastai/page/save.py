"""`save_page`: an image's network as a web page, one HTML file that draws it at any zoom and loads nothing."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from siren_fastai.coords import GRIDS, grid_coords
from siren_fastai.files import replacing
from siren_fastai.names import PAGE_WEIGHTS
from siren_fastai.page.html import html_file
from siren_fastai.page.packing import label_bytes, pack_units, pack_weights, plain_units, stride
from siren_fastai.page.program import Program, program_of
from siren_fastai.page.shader import fragment_shader, quads

__all__ = ["half_error", "page_html", "save_page"]

MAX_HALF_ERROR = 0.5  # grey levels: with the shader's own rounding the page stays within one
SAMPLES = 64  # positions per axis at which rounded weights are compared


def save_page(
    model: nn.Module,  # maps positions (n, 2) in [-1, 1] to values (n, 1) or (n, 3)
    path: str | os.PathLike,  # the file to write, such as "cat.html"
    size: Sequence[int],  # (height, width) of the image in pixels
    title: str | None = None,  # shown in a corner; None is the file's name
    **options,  # of `page_html`
) -> Path:
    """Write a web page that draws the image of `model` at any zoom, and return its path.

    It is one file, the weights inside: it works offline, and asks nothing of any server. Browsers need WebGL2. What it
    shows differs from `render` by one grey level of 8 bits at most.
    Raises: TypeError or ValueError for a network that a page can't draw, a name that doesn't end in .html, and as
        `page_html`.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a page's name ends in .html, such as 'cat.html', got {str(path)!r}")
    text = page_html(model, size, path.stem if title is None else title, **options)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page_html(
    model: nn.Module,  # maps positions (n, 2) in [-1, 1] to values (n, 1) or (n, 3)
    size: Sequence[int],  # (height, width) of the image in pixels
    title: str = "",  # shown in a corner
    grid: str = "centers",  # where the pixels lie, one of `siren_fastai.coords.GRIDS`
    value_range: tuple[float, float] = (0.0, 1.0),  # of the network's values: black and white
    mean: Sequence[float] | None = None,  # a colour to add to the values, as in `.sirn` files
    psnr: float | None = None,  # in dB, shown in a corner; None is not known
    weights: str = "auto",  # "float16", "float32", or "auto": the first if no pixel is half a grey level off by it
) -> str:
    """Return the text of the page that `save_page` writes.

    Raises: ValueError for a bad `size`, `grid`, `value_range`, `mean` or `weights`, or weights that float16 can't hold.
    """
    program = program_of(model)
    height, width = _checked_size(size)
    if grid not in GRIDS or weights not in PAGE_WEIGHTS:
        allowed = f"`grid` must be one of {GRIDS} and `weights` one of {PAGE_WEIGHTS}"
        raise ValueError(f"{allowed}, got {grid!r} and {weights!r}")
    gain, offset = _mapping(value_range, mean, program.channels)
    half = weights != "float32" and _takes_half(half_error(program, gain), weights)
    numbers = [pack_units(program), pack_weights(program, half), label_bytes(program)]
    count, kilobytes = sum(p.numel() for p in model.parameters()), sum(map(len, numbers)) / 1000
    facts = [f"{height} × {width} pixels", *([] if psnr is None else [f"{psnr:.1f} dB"])]
    facts += [f"{count:,} weights in {math.ceil(kilobytes):,} kB"]
    axes = [_axis(n, grid) for n in (height, width)]
    values = {
        "title": title,
        "facts": facts,
        "height": height,
        "width": width,
        "start": [start for start, _ in axes],
        "step": [step for _, step in axes],
        "gain": gain,
        "offset": offset,
        "half": half,
        "radial": program.heads[0].steps[:1] == (("radial",),),
        "plain": plain_units(program),
        "quads": quads(program),
        "stride": stride(program) if len(program.bodies) > 1 else 0,
        "label_size": [0, 0] if program.labels is None else list(program.labels.shape),
        "shader": fragment_shader(program),
    }
    return html_file(values, *numbers)


def half_error(
    program: Program,
    gain: float = 1.0,  # of values to [0, 1]
) -> float:  # in grey levels of 8 bits; inf where a weight is beyond float16
    """How far float16 weights take the image from float32 ones, at most, at 64 x 64 positions."""
    coords = grid_coords((SAMPLES, SAMPLES))
    error = 255 * abs(gain) * (program(coords, half=True) - program(coords)).abs().max().item()
    return error if math.isfinite(error) else math.inf


def _takes_half(error: float, weights: str) -> bool:
    if weights == "float16" and math.isinf(error):
        raise ValueError("`weights` can't be 'float16': some are beyond 65504, its largest number; use 'float32'")
    return weights == "float16" or error <= MAX_HALF_ERROR


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise ValueError(f"`size` must be (height, width) in pixels, integers of 1 or more, got {size!r}")
    return tuple(size)


def _mapping(value_range, mean, channels: int) -> tuple[float, list[float]]:
    """What turns values into [0, 1]: a factor, and what is added for red, green and blue."""
    low, high = (float(x) for x in value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`value_range` must be (low, high), finite and rising, got {tuple(value_range)!r}")
    colour = [0.0] * channels if mean is None else [float(x) for x in mean]
    if len(colour) != channels or not all(math.isfinite(x) for x in colour):
        raise ValueError(f"`mean` must be {channels} finite numbers, one for each channel, got {mean!r}")
    gain = 1 / (high - low)
    offset = [gain * (x - low) for x in colour]
    return gain, offset * 3 if channels == 1 else offset


def _axis(n: int, grid: str) -> tuple[float, float]:
    """The position at an axis' start, the border of its first pixel, and the positions' change from pixel to pixel."""
    step = 2 / (max(1, n - 1) if grid == "corners" else n)
    first = {"centers": step / 2 - 1, "corners": -1.0 if n > 1 else 0.0, "left": -1.0}[grid]
    return first - step / 2, step
