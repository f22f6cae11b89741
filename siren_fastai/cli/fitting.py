"""`siren-fastai fit` as options around `fits`: options in, settings to the library, messages out."""

import os
import sys
from dataclasses import fields
from pathlib import Path

from PIL import Image

from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage, in_options
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.terminal import ProgressLine
from siren_fastai.fits.fit import Fit, FitDiverged, FitInterrupted, prepare_fit
from siren_fastai.fits.folder import MARKER, check_erasable, is_in_use
from siren_fastai.fits.outputs import FitResult
from siren_fastai.fits.presets import CURRENT, preset_values, resolve
from siren_fastai.fits.settings import FitSettings, option_name

__all__ = ["fill", "run_fit"]

OPTIONS = {field.name: option_name(field.name) for field in fields(FitSettings)} | {"folder": "experiment_name"}


def fill(chosen: Chosen) -> Chosen:
    """Set what the user left open: from the preset, or with --resume from the experiment's checkpoint."""
    _check_together(chosen)
    with as_usage(options=OPTIONS):
        settings = resolve(settings_of(chosen))
    if chosen.resume:
        chosen.fill(settings.stored(), f"checkpoint {_folder(chosen) / CURRENT}")
    else:
        names = map(option_name, preset_values(settings.preset))
        chosen.fill({name: settings.stored()[name] for name in names}, f"preset {settings.preset}")
    return chosen


def settings_of(chosen: Chosen, **others) -> FitSettings:
    """Return the settings that the user gave, and `others`; everything else is left open."""
    names = [name for name, option in OPTIONS.items() if option in chosen.values and chosen.given(option)]
    given = {name: chosen.values[OPTIONS[name]] for name in names}
    return FitSettings(**{**given, "folder": _folder(chosen), "resume": chosen.resume, **others})


def run_fit(chosen: Chosen) -> int:
    """Fit as `chosen` says; write everything; print where it is."""
    if _is_folder(chosen):
        from siren_fastai.cli.fit_folder import fit_folder

        return fit_folder(chosen, settings_of(chosen), OPTIONS)
    line = ProgressLine()
    with as_usage(options=OPTIONS):
        fit = prepare_fit(settings_of(chosen, overwrite=_overwrite(chosen)), line.say, [line])
    try:
        result = _run(fit)
    finally:
        line.clear()
    print(result, flush=True)
    if chosen.show_graphics:
        _show(result)
    return 0


def _run(fit: Fit) -> FitResult:
    try:
        return fit.run()
    except FitInterrupted as error:
        raise CommandError(_interrupted(error), INTERRUPTED) from None
    except FitDiverged as error:
        raise CommandError(in_options(str(error), OPTIONS), FAILURE) from None


def _check_together(chosen: Chosen) -> None:
    chosen.keep_strongest(["y", "n"])
    _check_names(chosen)
    if chosen.y and chosen.n:
        raise CommandError("--y erases the output folder and --n keeps it: give one of them")
    if _is_folder(chosen) and (chosen.resume or chosen.n or chosen.show_graphics):
        raise CommandError(
            f"--image_filepath {chosen.image_filepath} is a folder, whose images are experiments of their own: leave "
            "--resume, --n and --show_graphics out"
        )
    if chosen.jobs is not None and not _is_folder(chosen):
        raise CommandError("--jobs is for a folder of images as --image_filepath: leave it out")
    if chosen.resume and (chosen.y or chosen.n or chosen.given("checkpoint_path")):
        raise CommandError("--resume continues in the experiment's folder: leave --y, --n and --checkpoint_path out")


def _is_folder(chosen: Chosen) -> bool:
    return chosen.image_filepath is not None and Path(chosen.image_filepath).is_dir()


def _check_names(chosen: Chosen) -> None:
    """Raise CommandError for a name that an unset shell variable or `..` made another folder than the user meant."""
    root, folder = Path(chosen.logging_root).resolve(), _folder(chosen).resolve()
    if folder == root or folder in root.parents:
        raise CommandError(f"--experiment_name {chosen.experiment_name} is --logging_root itself or a folder above it")
    if root not in folder.parents and not Path(chosen.experiment_name).is_absolute():
        raise CommandError(
            f"--experiment_name {chosen.experiment_name} leads out of --logging_root, to {folder}; if that is meant, "
            "give an absolute path"
        )


def _folder(chosen: Chosen) -> Path:
    return Path(chosen.logging_root, chosen.experiment_name)


def _overwrite(chosen: Chosen) -> str | None:
    """What to do with a folder that holds something: as --y and --n say, or asked on a terminal."""
    folder = _folder(chosen)
    if chosen.n or chosen.resume or not is_in_use(folder):
        return "number" if chosen.n else None
    if not (folder / MARKER).is_file():
        raise CommandError(
            f"{folder} is not empty and was not written by `fit`, so it is never erased: choose another "
            "--experiment_name, or give --n to write next to it"
        )
    if not chosen.y:
        _ask(folder)
    check_erasable(folder, [chosen.config_filepath] if chosen.config_filepath else [])
    return "erase"


def _ask(folder: Path) -> None:
    """Raise CommandError unless the user lets `folder` be erased."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise CommandError(f"{folder} is not empty: give --y to erase it, or --n to keep it and write next to it")
    answer = input(f"{folder} is not empty. Erase its contents? (y/n) ").strip().lower()
    if answer not in ("y", "yes"):
        raise CommandError(f"{folder} is left as it is; choose another --experiment_name, or --n")


def _interrupted(error: FitInterrupted) -> str:
    if error.epoch is None:
        return str(error)
    again = f"siren-fastai fit --logging_root {error.folder.parent} --experiment_name {error.folder.name} --resume"
    return f"interrupted in epoch {error.epoch}; history.txt and model_current are written. Continue with: {again}"


def _show(result: FitResult) -> None:
    """Open the history's figure if there is a display."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("darwin", "win32")
    if display and sys.stdout.isatty() and "history.png" in result.files:
        with Image.open(result.folder / "history.png") as image:
            image.show()
