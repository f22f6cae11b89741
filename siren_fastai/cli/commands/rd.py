"""`siren-fastai rd`: bits and PSNR of a folder of images, compressed by this library and by the classics."""

from contextlib import closing
from pathlib import Path

from siren_fastai.cli.errors import INTERRUPTED, CommandError, as_usage
from siren_fastai.cli.options import Chosen, Command, Option, integer, positive
from siren_fastai.cli.paths import check_outputs
from siren_fastai.cli.shared import COLOR, CONFIG, DEVICE, OVERWRITE, PRINT_CONFIG, SCHEDULER, SEED, STEPS
from siren_fastai.files import persist, replacing
from siren_fastai.names import CLASSICS

__all__ = ["COMMAND"]

OPTIONS = (
    Option("folder", "the folder of the images; its subfolders are not read", metavar="FOLDER", positional=True),
    CONFIG,
    Option("output", "folder for rd.csv, rd.json, rd.png and files/ (required)", metavar="FOLDER", required=True),
    OVERWRITE,
    Option("bpp", "bits per pixel of the .sirn files (required)", positive, nargs="+", metavar="BPP", required=True),
    Option(
        "codecs",
        "the classics to compare with (default: all that Pillow can write)",
        choices=CLASSICS,
        nargs="+",
        metavar="CODEC",
    ),
    COLOR,
    STEPS,
    SEED,
    DEVICE,
    Option(
        "jobs",
        "processes that compress, each with one thread; the seconds of the table are then theirs",
        integer(1, 1024),
        1,
        metavar="N",
    ),
    SCHEDULER,
    PRINT_CONFIG,
)


def run(chosen: Chosen) -> int:
    """Write rd.csv, rd.json, rd.png and our files; after Ctrl-C what is measured so far."""
    from siren_fastai.cli.folders import images_in
    from siren_fastai.compare.sweep import check_sweep
    from siren_fastai.fits.devices import device_of
    from siren_fastai.fits.image import read_image
    from siren_fastai.locks import lock_folder

    paths = images_in(chosen.folder)
    with as_usage():
        device = device_of(chosen.device)
        images = (read_image(path, chosen.color, name="FOLDER") for path in paths)  # an error now, not after hours
        work = sum(_work(image, bpp, chosen.steps) for image in images for bpp in set(chosen.bpp))
    folder, codecs, mode = _output(chosen, paths), _codecs(chosen), None if chosen.color == "auto" else chosen.color
    with as_usage():
        check_sweep(paths, chosen.bpp, codecs)
    folder.mkdir(parents=True, exist_ok=True)
    with as_usage(), lock_folder(folder):
        return _sweep(chosen, paths, folder, codecs, mode, device, work)


def _sweep(chosen: Chosen, paths: list[Path], folder: Path, codecs: tuple[str, ...], mode: str | None, device, work):
    """Measure and write. Returns the exit code."""
    from siren_fastai.cli.terminal import EncodeProgress
    from siren_fastai.compare.curves import OURS
    from siren_fastai.compare.sweep import points

    line, rows, interrupted, total = EncodeProgress(work), [], False, len(paths) * len(set(chosen.bpp))
    options = {"steps": chosen.steps, "seed": chosen.seed, "device": device, "progress": False}
    shared = chosen.jobs > 1 or chosen.scheduler is not None
    options |= {"jobs": chosen.jobs, "scheduler": chosen.scheduler} if shared else line.options
    try:
        with (
            as_usage(),
            closing(points(paths, chosen.bpp, codecs, mode, folder / "files", line.say, **options)) as found,
        ):
            for row in found:
                rows.append(row)
                if row["codec"] == OURS:
                    line.say(_described(row))
                    if shared:
                        line.progress.show(sum(each["codec"] == OURS for each in rows) / total)
                    _write_csv(rows, folder)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        line.clear()
    if rows:
        persist(lambda: _write(rows, folder, chosen))
    if interrupted:
        raise CommandError(f"interrupted; what was measured before is in {folder}", INTERRUPTED)
    return 0


def _work(image, bpp: float, steps: int | None) -> float:
    """The work of an encode, or 0 for an image that is too small for the rate."""
    from siren_fastai.codec.plan import Settings, plan_for
    from siren_fastai.codec.source import source_of

    try:
        plan = plan_for(source_of(image), bpp * image.shape[0] * image.shape[1] / 8, Settings(steps))
    except ValueError:
        return 0.0
    return plan.work_until(plan.steps)


def _described(row: dict) -> str:
    return (
        f"{row['picture']} at {row['setting']:g}: {row['bytes']:,} bytes, {row['bpp']:.4f} bits per pixel, "
        f"{row['psnr']:.2f} dB, {row['encode_s']:.1f} s"
    )


def _output(chosen: Chosen, paths: list[Path]) -> Path:
    """The folder to write to. Raises: CommandError if it holds the results of another sweep, or the images."""
    from siren_fastai.compare.sweep import coded_name

    folder = Path(chosen.output)
    if folder.exists() and folder.samefile(chosen.folder):
        raise CommandError("--output is the folder of the images; choose another, as rd.png would be one of them")
    coded = [Path("files", coded_name(path, bpp)) for path in paths for bpp in chosen.bpp]
    return check_outputs(folder, ("rd.csv", "rd.json", "rd.png", *coded), chosen.y, chosen.config_filepath)


def _codecs(chosen: Chosen) -> tuple[str, ...]:
    """The classics. Raises: CommandError for one that Pillow lacks."""
    from siren_fastai.classics import available_codecs

    lacking = [codec for codec in chosen.codecs or () if codec not in available_codecs()]
    if lacking:
        raise CommandError(f"--codecs: this Pillow cannot write {', '.join(lacking)}; leave it out, or update Pillow")
    return available_codecs() if chosen.codecs is None else tuple(dict.fromkeys(chosen.codecs))


def _write_csv(rows: list[dict], folder: Path) -> None:
    import pandas as pd

    from siren_fastai.compare.curves import COLUMNS

    with replacing(folder / "rd.csv") as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)


def _write(rows: list[dict], folder: Path, chosen: Chosen) -> None:
    """Write the table, the report and the figure, and print the means."""
    import pandas as pd

    from siren_fastai.compare.curves import COLUMNS, rd_figure, savings, summary
    from siren_fastai.files import write_json
    from siren_fastai.fits.outputs import save_figure

    _write_csv(rows, folder)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    means, saved = summary(table), savings(summary(table))
    settings = {name: chosen.values[name] for name in ("bpp", "steps", "seed", "color")}
    parts = {"points": table, "means": means, "at_equal_psnr": saved}
    tables = {name: part.to_dict("records") for name, part in parts.items()}
    write_json({"settings": settings, **tables}, folder / "rd.json")
    save_figure(rd_figure(table), folder / "rd.png")
    print(means.to_string(index=False, float_format="{:.4f}".format))
    if len(saved):
        print("\nat equal PSNR, the bits per pixel of the classics, and the difference of .sirn from them in %:")
        print(saved.to_string(index=False, float_format="{:.4f}".format))
    print(f"\nSee {folder}: rd.csv, rd.json, rd.png, files/")


NOTES = """
### rd: the files that it writes

| file | content |
|---|---|
| `rd.csv` | a row for each image, codec and setting: bytes, bits per pixel, PSNR (dB), SSIM, seconds |
| `rd.json` | the same, the means over the images, and bits per pixel against the classics at equal PSNR |
| `rd.png` | mean PSNR over mean bits per pixel; thin lines are the single images |
| `files/` | the .sirn files, named by image and bits per pixel |

Sizes are those of whole files; PSNR and SSIM are those of the 8-bit pixels that they decode to. If an image is too
small for a rate, the command says so and leaves that point out; a mean is drawn only where all images have a point.
Ctrl-C stops and writes what has been measured.
"""

COMMAND = Command(
    name="rd",
    summary="compare the compressed files of a folder of images with JPEG, WebP and AVIF",
    about="Compress the images of a folder at several rates, and compare bits and PSNR with JPEG, WebP and AVIF.",
    usage="FOLDER --output FOLDER --bpp BPP [BPP ...] [options]",
    groups={"options": OPTIONS},
    run=run,
    notes=NOTES,
    on_interrupt="finishing with what has been measured; press again to stop",
)
