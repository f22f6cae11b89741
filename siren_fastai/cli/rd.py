"""`siren-fastai rd`: bits and PSNR of a folder of pictures, compressed by us and by the classics."""

from pathlib import Path

import pandas as pd
from PIL import Image

from siren_fastai.classics import available_codecs
from siren_fastai.cli.coded import check_output
from siren_fastai.cli.devices import device_of
from siren_fastai.cli.errors import INTERRUPTED, CommandError, as_usage
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.outputs import save_figure, save_json, strict
from siren_fastai.cli.pictures import read_picture
from siren_fastai.cli.progress import ProgressLine
from siren_fastai.compare.curves import COLUMNS, OURS, rd_figure, savings, summary
from siren_fastai.compare.sweep import points
from siren_fastai.files import replacing

__all__ = ["run"]


def run(chosen: Chosen) -> int:
    """Write rd.csv, rd.json, rd.png and our files; after Ctrl-C what is measured so far."""
    device, paths = device_of(chosen.device), _pictures(chosen.folder)
    for path in paths:
        read_picture(str(path), chosen.color, option="FOLDER")  # a bad one is told now, not after hours
    folder, codecs, mode = _output(chosen), _codecs(chosen), None if chosen.color == "auto" else chosen.color
    line, rows, interrupted = ProgressLine(), [], False
    options = {"steps": chosen.steps, "seed": chosen.seed, "device": device, "progress": False, "cbs": [line]}
    try:
        with as_usage():
            for row in points(paths, chosen.bpp, codecs, mode, folder / "files", line.say, **options):
                rows.append(row)
                if row["codec"] == OURS:
                    line.say(_told(row))
                    _write_csv(rows, folder)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        line.clear()
    if rows:
        _write(pd.DataFrame(rows, columns=list(COLUMNS)), folder, chosen)
    if interrupted:
        raise CommandError(f"interrupted; what was measured before is in {folder}", INTERRUPTED)
    return 0


def _told(row: dict) -> str:
    return (
        f"{row['picture']} at {row['setting']:g}: {row['bytes']:,} bytes, {row['bpp']:.4f} bits per pixel, "
        f"{row['psnr']:.2f} dB, {row['encode_s']:.1f} s"
    )


def _pictures(folder: str) -> list[Path]:
    """The files in `folder` whose suffix is a picture's. Raises: CommandError if there are none."""
    if not Path(folder).is_dir():
        raise CommandError(f"there is no folder {folder}")
    suffixes = Image.registered_extensions()
    found = (path for path in Path(folder).iterdir() if path.suffix.lower() in suffixes and path.is_file())
    paths = sorted(path for path in found if not path.name.startswith("."))
    if not paths:
        raise CommandError(f"there are no pictures in {folder}")
    return paths


def _output(chosen: Chosen) -> Path:
    """The folder to write to. Raises: CommandError if it holds a sweep, or the pictures."""
    folder = Path(chosen.output)
    if folder.exists() and folder.samefile(chosen.folder):
        raise CommandError("--output is the folder of the pictures; choose another, as rd.png would be one of them")
    for name in ("rd.csv", "rd.json", "rd.png"):
        check_output(str(folder / name), chosen.y)
    return folder


def _codecs(chosen: Chosen) -> tuple[str, ...]:
    """The classics. Raises: CommandError for one that Pillow lacks."""
    lacking = [codec for codec in chosen.codecs or () if codec not in available_codecs()]
    if lacking:
        raise CommandError(f"--codecs: this Pillow cannot write {', '.join(lacking)}; leave it out, or update Pillow")
    return available_codecs() if chosen.codecs is None else tuple(dict.fromkeys(chosen.codecs))


def _write_csv(rows: list[dict], folder: Path) -> None:
    with replacing(folder / "rd.csv") as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)


def _write(table: pd.DataFrame, folder: Path, chosen: Chosen) -> None:
    """The three files, and what they say in print."""
    means, saved = summary(table), savings(summary(table))
    _write_csv(table.to_dict("records"), folder)
    settings = {name: chosen.values[name] for name in ("bpp", "steps", "seed", "color")}
    parts = {"points": table, "means": means, "at_equal_psnr": saved}
    tables = {name: [strict(row) for row in part.to_dict("records")] for name, part in parts.items()}
    save_json({"settings": settings, **tables}, folder / "rd.json")
    save_figure(rd_figure(table), folder / "rd.png")
    print(means.to_string(index=False, float_format="{:.4f}".format))
    if len(saved):
        print("\nat equal PSNR, our bits less those of the classics:")
        print(saved.to_string(index=False, float_format="{:.4f}".format))
    print(f"\nSee {folder}: rd.csv, rd.json, rd.png, files/")
