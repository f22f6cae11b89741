"""`siren-fastai page`: an image's network as a web page with endless zoom."""

from pathlib import Path

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen, Command, Option
from siren_fastai.cli.shared import CONFIG, OVERWRITE, PRINT_CONFIG
from siren_fastai.names import PAGE_WEIGHTS

__all__ = ["COMMAND"]

OPTIONS = (
    Option(
        "source",
        "a .sirn file that compress wrote, a .safetensors file that fit wrote, or the folder of a fit",
        metavar="SOURCE",
        positional=True,
    ),
    Option("output", "the page to write, such as image.html", metavar="OUTPUT", positional=True),
    CONFIG,
    OVERWRITE,
    Option("title", "shown in a corner of the page (default: the name of OUTPUT)"),
    Option(
        "weights",
        "how they are stored; auto takes float16 if no pixel is half a grey level off by it",
        choices=PAGE_WEIGHTS,
        default="auto",
    ),
    PRINT_CONFIG,
)
FINAL = Path("checkpoints", "model_final.safetensors")  # in the folder of a fit


def run(chosen: Chosen) -> int:
    """Write the page to `chosen.output`."""
    from siren_fastai.cli.paths import check_output
    from siren_fastai.sirn.format import MAGIC

    source = Path(chosen.source)
    source = source / FINAL if source.is_dir() else source
    if not source.is_file():
        raise CommandError(f"there is no file {source}")
    if Path(chosen.output).suffix.lower() not in (".html", ".htm"):
        raise CommandError(f"OUTPUT must end in .html, got {chosen.output!r}")
    output = check_output(chosen.output, chosen.y, source, chosen.config_filepath)
    with open(source, "rb") as file:
        coded = file.read(len(MAGIC)) == MAGIC
    (_coded_page if coded else _checkpoint_page)(source, output, chosen)
    print(f"{output}: {output.stat().st_size / 1000:,.0f} kB")
    return 0


def _coded_page(source: Path, output: Path, chosen: Chosen) -> None:
    from siren_fastai.cli.paths import read_coded
    from siren_fastai.page.coded import save_coded_page
    from siren_fastai.sirn.format import Limits, read

    with as_usage(f"{source}: "):
        encoded = read(read_coded(str(source), Limits().size))
        save_coded_page(encoded, output, chosen.title, chosen.weights)


def _checkpoint_page(source: Path, output: Path, chosen: Chosen) -> None:
    from siren_fastai.cli.checkpoints import open_checkpoint

    checkpoint, psnr = open_checkpoint(str(source)), _psnr_of(source)
    with as_usage(f"{source}: "):
        checkpoint.to_html(output, chosen.title, psnr, chosen.weights)


def _psnr_of(checkpoint: Path) -> float | None:
    """The PSNR that `fit --evaluate` wrote for the final network, or None. Raises: CommandError for a damaged file."""
    import json
    import math

    scores = checkpoint.parent.parent / "metrics.json"
    if checkpoint.parts[-2:] != FINAL.parts or not scores.is_file():
        return None
    try:
        found = float(json.loads(scores.read_text(encoding="utf-8"))["standard"]["psnr"])
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{scores} isn't what `fit --evaluate` writes ({error!r:.80}): move it away") from None
    return found if math.isfinite(found) else None


NOTES = """
The page is one file, the network's weights inside: it works offline and loads nothing. Browsers need WebGL2. Drag,
wheel and pinch move and zoom without end, `?` lists the keys. Its colours differ from those of `render` and
`decompress` by one grey level of 8 bits at most. With a fit that was run with `--evaluate`, it also says the PSNR.

    siren-fastai page image.sirn image.html
    siren-fastai page logs/cat cat.html --title "A cat"
"""

COMMAND = Command(
    name="page",
    summary="write a web page that draws a network's image with endless zoom",
    about="Write a web page that draws a checkpoint's or a compressed file's image with endless zoom.",
    usage="SOURCE OUTPUT [options]",
    groups={"options": OPTIONS},
    run=run,
    notes=NOTES,
)
