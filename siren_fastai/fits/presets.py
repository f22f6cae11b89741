"""What fills the settings that are left open: a preset, or the fit that is resumed."""

import inspect
import os
from dataclasses import fields, replace
from pathlib import Path

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import HIDDEN
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.settings import IN_MEMORY, NOT_STORED, FitSettings
from siren_fastai.fits.state import Checkpoint
from siren_fastai.learner import PixelLearner, siren_learner

__all__ = [
    "CURRENT",
    "FREE",
    "OFFICIAL",
    "OFFICIAL_GRID",
    "OFFICIAL_RANGE",
    "fast_defaults",
    "preset_values",
    "resolve",
    "stored_checkpoint",
]

# the 2020 report's run and the official code, arXiv:2006.09661
OFFICIAL = {
    **dict(resize_mode="stretch", color="gray", kind="sine", hidden_features=256, hidden_layers=3),
    **dict(lr=1e-4, epochs=10_000, optimizer="adam", schedule="constant", bs="all"),
}
OFFICIAL_GRID, OFFICIAL_RANGE = "corners", (-1.0, 1.0)
EPOCHS = 30  # of the fast preset: the library names none
DEFAULTS = {  # of both presets
    **dict(overwrite="never", seed=0, device="auto", metric_convention="standard", checkpoint_every=25),
    **dict(log_every=1000, evaluate=False, plot_history=False, tensorboard=False),
}
CURRENT = Path("checkpoints", "model_current.safetensors")  # where a fit goes on from, in its folder
FREE = (  # what may change when a fit is resumed
    *("epochs", "checkpoint_every", "log_every", "evaluate", "plot_history", "device", "tensorboard"),
)


def fast_defaults() -> dict:
    """Return the library's defaults, read from its signatures."""
    learner, loaders = (inspect.signature(f).parameters for f in (siren_learner, PixelDataLoaders.from_array))
    epochs = inspect.signature(PixelLearner.fit_fast).parameters["n_epoch"].default
    return {
        **dict(resize_mode="keep", color="auto", kind="siren", schedule="one_cycle"),
        **dict(hidden_features=HIDDEN[0], hidden_layers=len(HIDDEN) - 1, bs=loaders["bs"].default),
        **dict(lr=learner["lr"].default, optimizer=learner["opt_func"].default.__name__),
        **dict(epochs=epochs if isinstance(epochs, int) else EPOCHS),
    }


def preset_values(
    preset: str,  # "fast" or "official"
) -> dict:
    """Return the values that a preset fills in, by field of `FitSettings`."""
    return OFFICIAL if preset == "official" else fast_defaults()


def resolve(
    settings: FitSettings,  # with any field left open
) -> FitSettings:
    """Return the settings with nothing left open but `image`, `size`, `omega_0`, `scheme` and `start`.

    What is open comes from the preset, or with `resume` from the fit in `folder`.
    Raises: ValueError if there is no folder, nothing to resume, or a setting that cannot change now.
    """
    if not settings.folder:
        raise ValueError("`folder` must name the output folder")
    if settings.resume:
        return _resumed(settings)
    settings = settings.filled({"preset": "fast"})
    return settings.filled({**DEFAULTS, **preset_values(settings.preset)})


def stored_checkpoint(
    folder: Path,  # of a fit
) -> Checkpoint:
    """Read the state to resume from. Raises: FileNotFoundError if there is none; ValueError if it is damaged."""
    path = folder / CURRENT
    if not path.is_file():
        raise FileNotFoundError(f"there is nothing to resume: no {path}; check `folder`")
    return load_checkpoint(path)


def _resumed(settings: FitSettings) -> FitSettings:
    if settings.overwrite is not None or settings.start is not None:
        raise ValueError("`resume` continues the fit in its own folder: leave `overwrite` and `start` out")
    options = stored_checkpoint(settings.folder).options
    try:
        stored = FitSettings.from_stored(options)
    except ValueError as error:
        raise ValueError(f"{settings.folder / CURRENT}: {error}") from None
    image = _stored_image(settings, stored["image"])
    for name in (f.name for f in fields(settings) if f.name not in (*NOT_STORED, *FREE, "image")):
        value = getattr(settings, name)
        if value is not None and value != stored[name]:
            raise ValueError(
                f"`{name}` was {stored[name]!r} in this fit, got {value!r}; leave it out, or start another"
            )
    _check_epochs(settings, stored)
    return replace(settings, image=image).filled(stored)


def _stored_image(settings: FitSettings, stored: str | None):
    """The image of the fit: read from its file again, or, if it was none, given again."""
    image, was_file = settings.image, stored != IN_MEMORY
    is_file = isinstance(image, (str, os.PathLike))
    if not was_file and (image is None or is_file):
        raise ValueError("this fit's `image` was not a file: give the same image again")
    if was_file and image is not None and not (is_file and os.fspath(image) == stored):
        raise ValueError(f"`image` was {stored!r} in this fit, got another; leave it out, or start another")
    return stored if was_file else image


def _check_epochs(settings: FitSettings, stored: dict) -> None:
    changed = settings.epochs is not None and settings.epochs != stored["epochs"]
    if changed and stored["schedule"] != "constant":
        raise ValueError(
            f"`epochs` is {stored['epochs']} in this fit, and its schedule {stored['schedule']} depends on it; start "
            "another from its checkpoint, by `start`, to train for more"
        )
