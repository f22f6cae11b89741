"""`siren-fastai compress` for the images of a folder, and which files those are."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage, warn
from siren_fastai.cli.kept_files import NOT_COMPARED, check_kept
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.paths import check_output, check_outputs, same_file
from siren_fastai.codec.batch import compress_images
from siren_fastai.files import replacing, write_json
from siren_fastai.fits.devices import device_of
from siren_fastai.fits.image import read_image
from siren_fastai.images import to_uint8
from siren_fastai.jobs.call import Failure
from siren_fastai.jobs.run import check_jobs
from siren_fastai.locks import LOCK, lock_folder
from siren_fastai.progress import Progress

__all__ = ["compress_folder", "images_in"]


def images_in(folder: str) -> list[Path]:
    """The files in `folder` with the suffix of an image that Pillow can open. Raises: CommandError if it has none."""
    if not Path(folder).is_dir():
        raise CommandError(f"there is no folder {folder}")
    formats = Image.registered_extensions()
    suffixes = {suffix for suffix, name in formats.items() if name in Image.OPEN}  # others, such as PDF, only to write
    found = (path for path in Path(folder).iterdir() if path.suffix.lower() in suffixes and path.is_file())
    paths = sorted(path for path in found if not path.name.startswith("."))
    if not paths:
        raise CommandError(f"there are no images in {folder}")
    return paths


def compress_folder(
    chosen: Chosen,
    options: dict,  # for `compress`
    described,  # (report, bytes) -> the line to print of a file
) -> int:
    """Compress each image of a folder to a file of its own. Returns the exit code.

    Without --y, images whose file exists are left out, if its fields agree with the options: after an interruption the
    same command goes on.
    """
    paths = _by_stem(images_in(chosen.image))
    with as_usage():
        device = device_of(chosen.device)
    folder = check_outputs(chosen.output, (), chosen.y)
    outputs = {stem: folder / f"{stem}.sirn" for stem in paths}
    earlier = _earlier(chosen, paths)
    report = chosen.report and _report(chosen, folder, [*outputs.values()], [*paths.values()], earlier is not None)
    todo = [stem for stem in paths if chosen.y or not outputs[stem].exists()]
    names = [outputs[stem].name for stem in todo]
    check_outputs(folder, names, chosen.y, chosen.config_filepath, *paths.values())
    if len(todo) < len(paths):
        check_kept({outputs[stem]: path for stem, path in paths.items() if stem not in todo}, chosen.color, options)
        kept = f"{len(paths) - len(todo)} of {len(paths)} images are compressed already"
        print(f"{kept}; {NOT_COMPARED}; --y compresses them again")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = 1 if chosen.jobs is None and device.type != "cpu" else chosen.jobs  # processes would share the GPU's memory
    jobs = min(check_jobs(jobs), max(1, len(todo)))  # all processes start at once
    run = _Folder(chosen, {stem: paths[stem] for stem in todo}, outputs, described)
    with as_usage(), lock_folder(folder):
        try:
            run.go(jobs, {**options, "device": device})
        except KeyboardInterrupt:
            message = f"interrupted; {len(run.reports)} of {len(todo)} images are compressed; the same command goes on"
            raise CommandError(message, INTERRUPTED) from None
        finally:
            if report:
                write_json({**(earlier or {}), **run.reports}, report)
    return run.finish()


def _report(
    chosen: Chosen, folder: Path, outputs: list[Path], images: list[Path], overwrite: bool
) -> Path:  # of the report
    """Check the report like `check_output`. Raises: CommandError too for a path that the outputs need."""
    report = check_output(chosen.report, chosen.y or overwrite, chosen.config_filepath, *images)
    for taken in (*outputs, folder / LOCK, folder, *folder.absolute().parents):
        if same_file(report, taken):
            raise CommandError(f"--report {report} is also a file or folder that OUTPUT needs; choose another name")
    return report


def _earlier(chosen: Chosen, paths: dict[str, Path]) -> dict | None:
    """What an earlier run reported of these images, to which this one adds; None without --report, or with --y."""
    if not chosen.report or chosen.y:
        return None
    try:
        found = json.loads(Path(chosen.report).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() <= paths.keys() else None


def _by_stem(paths: list[Path]) -> dict[str, Path]:
    """The images by the name of their file. Raises: CommandError for two of one name."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise CommandError(f"{found[path.stem].name} and {path.name} would both be {path.stem}.sirn; rename one")
        found[path.stem] = path
    return found


class _Folder:
    """The images of one folder: what they became, and which failed."""

    def __init__(self, chosen: Chosen, paths: dict[str, Path], outputs: dict[str, Path], described):
        self.chosen, self.paths, self.outputs, self.described = chosen, paths, outputs, described
        self.reports, self.failed = {}, {}

    def go(self, jobs: int | None, options: dict) -> None:
        """Compress the images; a file is written as soon as it is there."""
        line = Progress()
        try:
            with closing(compress_images(self._images(), jobs, self.chosen.scheduler, **options)) as found:
                for stem, made in found:
                    if isinstance(made, Failure):
                        self.failed[stem] = made.message
                    else:
                        self._keep(stem, made, line)
                    line.show((len(self.reports) + len(self.failed)) / len(self.paths), stem)
        finally:
            line.clear()

    def _images(self) -> Iterator[tuple[str, np.ndarray]]:
        for stem, path in self.paths.items():
            try:
                yield stem, to_uint8(read_image(path, self.chosen.color, name="FOLDER"))
            except ValueError as error:
                self.failed[stem] = str(error)

    def _keep(self, stem: str, made, line: Progress) -> None:
        with replacing(self.outputs[stem]) as temporary:
            temporary.write_bytes(made.data)
        self.reports[stem] = made.report
        line.say(f"{self.outputs[stem]}: {self.described(made.report, len(made.data))}")

    def finish(self) -> int:
        """The exit code. Raises: CommandError if not every image became what was asked for."""
        for stem, message in self.failed.items():
            warn(f"{self.paths[stem]}: {message}")
        missed = [stem for stem, report in self.reports.items() if not report.get("reached", True)]
        if missed:
            warn(f"--psnr {self.chosen.psnr:g} was not reached by {', '.join(missed)}; more --steps may help")
        if self.failed:
            raise CommandError(
                f"{len(self.failed)} of {len(self.paths)} images failed; the others are compressed", FAILURE
            )
        return FAILURE if missed else 0
