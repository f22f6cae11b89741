"""Files of an earlier `siren-fastai compress` of a folder, which the same command leaves as they are."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.paths import read_coded
from siren_fastai.codec.differences import differences
from siren_fastai.fits.image import read_image
from siren_fastai.progress import Progress
from siren_fastai.sirn.reader import Limits

__all__ = ["NOT_COMPARED", "check_kept"]

NOT_COMPARED = "a file doesn't store --steps, --seed, --psnr and --clusters_by, so these were not compared"


def check_kept(
    images: Mapping[str | Path, Path],  # the image of each file
    color: str,  # as for `read_image`
    options: Mapping,  # of `compress`
) -> None:
    """Print the files that are left as they are.

    Raises: CommandError if one isn't a `.sirn` file, or its fields tell that it was made with other options.
    """
    wrong, line = [], Progress()
    try:
        for number, (file, image) in enumerate(images.items()):
            wrong += [f"{file}: {found}" for found in _found(file, image, color, options)]
            line.show(number / len(images), f"comparing {Path(file).name}")
    finally:
        line.clear()
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise CommandError(
            f"{wrong[0]}{more}. These options give another file: give --y to overwrite all, or choose another folder"
        )
    for file in images:
        print(f"{file}: compressed already, left as it is")


def _found(file: str | Path, image: Path, color: str, options: Mapping) -> list[str]:
    """What a file's fields tell against the options, in one text if anything."""
    limits = Limits(work=float("inf"))  # nothing is decoded here
    data = read_coded(str(file), limits.size)
    with as_usage(f"{file} can't be compared with its image: "):
        pixels = read_image(image, color, name="FOLDER")
    try:
        return ["; ".join(found)] if (found := differences(data, pixels, **options)) else []
    except ValueError as error:
        return [str(error)]
