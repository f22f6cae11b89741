"""`siren-fastai fit` for the images of a folder: one experiment each, in processes."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage, warn
from siren_fastai.cli.folders import images_in
from siren_fastai.cli.options import Chosen
from siren_fastai.files import write_json
from siren_fastai.fits.devices import device_of
from siren_fastai.fits.fit import fit_image
from siren_fastai.fits.folder import MARKER, is_in_use
from siren_fastai.fits.presets import CURRENT, resolve
from siren_fastai.fits.scores import describe_scores
from siren_fastai.fits.settings import FitSettings
from siren_fastai.jobs.call import Failure
from siren_fastai.jobs.run import check_jobs, run_jobs
from siren_fastai.locks import lock_folder
from siren_fastai.progress import Progress

__all__ = ["fit_folder"]

SCORES = "scores.json"  # of all images of the folder


def fit_folder(
    chosen: Chosen,
    settings: FitSettings,  # for each image, without `image`; `folder` is that of the experiments
    options: dict[str, str],  # the options' names by those of the settings, for messages
) -> int:
    """Fit each image of a folder as `fit` would alone, in an experiment with its name. Returns the exit code.

    Without --y, images that were fitted with the same options are left out, and a fit that was interrupted is resumed.
    """
    fits = {path.stem: path for path in images_in(chosen.image_filepath)}
    _check_names(chosen, fits)
    with as_usage(options=options):
        device = device_of(chosen.device)
        plans = {name: replace(settings, image=str(path), folder=settings.folder / name) for name, path in fits.items()}
        todo = {name: _ready(plan, chosen.y) for name, plan in plans.items() if chosen.y or not _is_done(plan)}
        jobs = 1 if chosen.jobs is None and device.type != "cpu" else chosen.jobs  # they would share the GPU's memory
        jobs = min(check_jobs(jobs), max(1, len(todo)))
    if len(todo) < len(plans):
        print(f"{len(plans) - len(todo)} of {len(plans)} images are fitted already; --y fits them again")
    settings.folder.mkdir(parents=True, exist_ok=True)
    with as_usage(), lock_folder(settings.folder):
        failed = _run(todo, jobs)
        _write_scores(settings.folder, plans)
    for name, message in failed.items():
        warn(f"{fits[name]}: {message}")
    if failed:
        raise CommandError(f"{len(failed)} of {len(todo)} images failed; the others are fitted", FAILURE)
    return 0


def _check_names(chosen: Chosen, fits: dict[str, Path]) -> None:
    """Raise CommandError for images whose experiments would be the same, or where the scores are written."""
    for path in images_in(chosen.image_filepath):
        if path.stem == SCORES:
            raise CommandError(f"the experiment of {path.name} would be where the scores are written; rename it")
        if fits[path.stem] != path:
            raise CommandError(f"{path.name} and {fits[path.stem].name} would both be {path.stem}; rename one")


def _is_done(plan: FitSettings) -> bool:
    """Whether the image was fitted with the same settings, to its end."""
    return _is_same(plan) and (plan.folder / SCORES).is_file()


def _is_same(plan: FitSettings) -> bool:
    """Whether the fit in the folder has the same settings."""
    try:
        found = json.loads((plan.folder / "options.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(found.get(name) == value for name, value in resolve(plan).stored().items())


def _ready(plan: FitSettings, erase: bool) -> FitSettings:
    """The settings, to erase or to resume what an earlier fit wrote. Raises: CommandError for a folder in use."""
    if not is_in_use(plan.folder):
        return plan
    if erase and (plan.folder / MARKER).is_file():
        return replace(plan, overwrite="erase")
    if erase:
        raise CommandError(f"{plan.folder} was not written by `fit`, so it is never erased: choose another name")
    if _is_same(plan) and (plan.folder / CURRENT).is_file():
        return FitSettings(folder=plan.folder, resume=True)
    raise CommandError(f"{plan.folder} has other contents than a fit with these options: --y erases an earlier fit")


def _run(todo: dict[str, FitSettings], jobs: int) -> dict[str, str]:
    """Fit all, and return what went wrong, by the images' names."""
    line, failed, done = Progress(), {}, 0
    try:
        calls = ((name, (plan,)) for name, plan in todo.items())
        with closing(run_jobs(_fitted, calls, jobs, threads=None if jobs == 1 else 1)) as found:
            for name, made in found:
                done += 1
                if isinstance(made, Failure):
                    failed[name] = made.message
                else:
                    line.say(f"{todo[name].folder}: {made}")
                line.show(done / len(todo), name)
    except KeyboardInterrupt:
        message = f"interrupted; {done - len(failed)} of {len(todo)} images are fitted"
        raise CommandError(message, INTERRUPTED) from None
    finally:
        line.clear()
    return failed


def _fitted(settings: FitSettings) -> str:
    """Fit one image, and return its scores in words."""
    result = fit_image(settings, say=_say_nothing)
    write_json(result.scores, result.folder / SCORES)
    return f"{describe_scores(result.scores)}, {result.seconds:.1f} s"


def _say_nothing(message: str) -> None:
    """Each fit's own lines would be mixed with those of the others."""


def _write_scores(folder: Path, plans: dict[str, FitSettings]) -> None:
    """Gather the images' scores in one file."""
    found = {name: plan.folder / SCORES for name, plan in plans.items() if (plan.folder / SCORES).is_file()}
    write_json({name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}, folder / SCORES)
