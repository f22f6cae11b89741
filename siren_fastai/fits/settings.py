"""The settings of one fit, checked when they are made: for the command line, a notebook or a study alike."""

import operator
import os
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from siren_fastai.fits.state import Checkpoint
from siren_fastai.names import (
    COLORS,
    METRIC_CONVENTIONS,
    MODEL_KINDS,
    OPTIMIZER_NAMES,
    PRESETS,
    RESIZE_MODES,
    SCHEDULES,
)

__all__ = ["OVERWRITE", "FitSettings", "option_name"]

OVERWRITE = ("never", "erase", "number")
IN_MEMORY = "(in memory)"  # stored for an image or a network that did not come from a file
OPTIONS = {  # fields whose name is another in files and on the command line, where they are the 2020 report's
    **dict(image="image_filepath", size="sidelength", kind="model_type", epochs="num_epochs", start="checkpoint_path"),
    **dict(checkpoint_every="epochs_til_ckpt", log_every="steps_til_summary", plot_history="show_graphics"),
}
NOT_STORED = ("folder", "overwrite", "resume")  # they belong to one call, not to the fit
CHOICES = {
    **dict(overwrite=OVERWRITE, preset=PRESETS, resize_mode=RESIZE_MODES, color=COLORS, kind=MODEL_KINDS),
    **dict(optimizer=OPTIMIZER_NAMES, schedule=SCHEDULES, metric_convention=METRIC_CONVENTIONS),
}
MINIMA = dict(size=1, hidden_features=1, hidden_layers=0, epochs=0, bs=1, seed=0, checkpoint_every=1, log_every=1)
MAXIMA = dict(seed=2**63 - 1, hidden_layers=1000)
MAX_INTEGER = 10**9  # of all others
RANGES = dict(lr=(0, 3.4e38), omega_0=(1e-6, 1e6))  # what float32 can hold; beyond it a sine of pixels is noise


def option_name(
    field: str,  # of `FitSettings`
) -> str:
    """Return what a field is called in options.json, in checkpoints and, after `--`, on the command line."""
    return OPTIONS.get(field, field)


@dataclass(frozen=True)
class FitSettings:
    """What to fit, how, and where to write it. None leaves a setting to the preset, or to the fit that is resumed.

    Raises: ValueError or TypeError that names the field.
    """

    image: str | os.PathLike | Image.Image | np.ndarray | Tensor | None = None  # None: scikit-image's camera
    folder: str | os.PathLike = ""  # the output folder; required
    overwrite: str | None = None  # a folder with contents: "never" (an error), "erase" them, "number" a new folder
    resume: bool = False  # continue the fit in `folder` with its own settings
    preset: str | None = None  # "fast", the library's defaults, or "official", the published training
    size: int | None = None  # side of the square, or with `resize_mode="keep"` the shorter side, in pixels
    resize_mode: str | None = None  # to a square by "stretch" or "crop", or "keep" the aspect ratio
    color: str | None = None  # "auto" (as it is), "gray" or "rgb"
    kind: str | None = None  # of the network, one of `names.MODEL_KINDS`
    hidden_features: int | None = None  # width of the hidden layers
    hidden_layers: int | None = None  # layers from width to width
    omega_0: float | None = None  # frequency factor of sines and wavelets; None is the published one
    scheme: int | str | None = None  # initialisation of the sine layers, see `SCHEMES`; or the file of a start
    start: str | os.PathLike | Checkpoint | None = None  # a network to start from, in place of a new one
    optimizer: str | None = None  # one of `OPTIMIZERS`
    lr: float | None = None  # learning rate, the highest of the schedule
    schedule: str | None = None  # of the learning rate: "one_cycle", "flat_cos" or "constant"
    epochs: int | None = None
    bs: int | str | None = None  # pixels per step, or "all"
    seed: int | None = None  # of torch, numpy and random
    device: str | None = None  # "auto", "cpu", "cuda" or "cuda:<n>"
    metric_convention: str | None = None  # "standard", values in [0, 1]; "note", in [-1, 1] with a data range of 1
    checkpoint_every: int | None = None  # epochs between checkpoints
    log_every: int | None = None  # steps between log lines
    evaluate: bool | None = None  # score the network as read back from its file
    plot_history: bool | None = None  # write history.png
    tensorboard: bool | None = None  # also log to TensorBoard; needs siren_fastai[tensorboard]

    def __post_init__(self):
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _checked(name, value))

    def filled(self, values: dict) -> "FitSettings":
        """Return the settings with `values` where they are None."""
        return replace(self, **{name: value for name, value in values.items() if getattr(self, name) is None})

    def stored(self) -> dict:
        """Return the settings as plain values under their `option_name`s, as files hold them."""
        names = [f.name for f in fields(self) if f.name not in NOT_STORED]
        return {option_name(name): _plain(name, getattr(self, name)) for name in names}

    @staticmethod
    def from_stored(options: dict) -> dict:
        """Return the fields in `options`, as `stored` wrote them. Raises: ValueError if one is missing."""
        names = [f.name for f in fields(FitSettings) if f.name not in NOT_STORED]
        missing = [option_name(name) for name in names if option_name(name) not in options]
        if missing:
            raise ValueError(f"it was not written by a fit of this library: it lacks the options {missing}")
        values = {name: options[option_name(name)] for name in names}
        return values | {"bs": "all" if values["bs"] is None else values["bs"]}


def _checked(name: str, value):
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"`{name}` must be one of {', '.join(CHOICES[name])}, got {value!r}")
    if name in MINIMA and not (name == "bs" and value == "all"):
        return _checked_integer(name, value)
    if name in ("lr", "omega_0"):
        low, high = RANGES[name]
        if isinstance(value, bool) or not isinstance(value, Real) or not (low <= value <= high and value > 0):
            allowed = f"from {low:g} to {high:g}" if low else "above 0 that float32 can hold"
            raise ValueError(f"`{name}` must be a number {allowed}, got {value!r}")
        return float(value)
    if name == "folder" and (not isinstance(value, (str, os.PathLike)) or not str(value)):
        raise ValueError(f"`folder` must name the output folder, got {value!r}")
    if name == "image" and not isinstance(value, (str, os.PathLike, Image.Image, np.ndarray, Tensor)):
        raise TypeError(f"`image` must be a path, a Pillow image, an array or a tensor, got {type(value).__name__}")
    if name == "start" and not isinstance(value, (str, os.PathLike, Checkpoint)):
        raise TypeError(f"`start` must be a path or a Checkpoint, got {type(value).__name__}")
    return Path(value) if name == "folder" else value


def _checked_integer(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < MINIMA[name]:
        also = ' or "all"' if name == "bs" else ""
        raise ValueError(f"`{name}` must be an integer of {MINIMA[name]} or more{also}, got {value!r}")
    if value > MAXIMA.get(name, MAX_INTEGER):
        raise ValueError(f"`{name}` must be at most {MAXIMA.get(name, MAX_INTEGER)}, got {value!r:.80}")
    return operator.index(value)


def _plain(name: str, value):
    """A value as JSON holds it: no objects in memory, None for a batch of all pixels."""
    if name == "bs":
        return None if value == "all" else value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return IN_MEMORY if isinstance(value, (Image.Image, np.ndarray, Tensor, Checkpoint)) else value
