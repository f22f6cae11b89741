"""`siren-fastai analyze`: a training history and the leading digits of its images, as report and figures."""

import json
from pathlib import Path

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen, Command, Option
from siren_fastai.cli.paths import check_outputs
from siren_fastai.cli.shared import CONFIG, OVERWRITE, PRINT_CONFIG
from siren_fastai.files import replacing
from siren_fastai.names import METRIC_CONVENTIONS

__all__ = ["COMMAND"]

OPTIONS = (
    Option(
        "history",
        "a history.txt, a CSV or JSON file of MetricHistory, or the folder of a fit",
        metavar="HISTORY",
        positional=True,
    ),
    CONFIG,
    OVERWRITE,
    Option("ground_truth", "the image as the network saw it (default: target.png of the fit)", metavar="FILE"),
    Option("prediction", "the network's raw output (default: predicted_image.png of the fit)", metavar="FILE"),
    Option(
        "output",
        "folder of the report and the figures (default: analysis/ next to the history)",
        metavar="FOLDER",
    ),
    Option(
        "metric_convention",
        "how the history was measured (default: as the fit says, or standard; the old three-column files: note)",
        choices=METRIC_CONVENTIONS,
    ),
    Option("title", "title of the report (default: the folder's name)"),
    PRINT_CONFIG,
)


def run(chosen: Chosen) -> int:
    """Write report.json, report.md, history.png and, given images, benford.png; print head and summary."""
    from siren_fastai.analysis.history import read_history
    from siren_fastai.analysis.report import Report

    path = Path(chosen.history)
    folder = path if path.is_dir() else path.parent
    path = path / "history.txt" if path.is_dir() else path
    if not path.is_file():
        raise CommandError(f"there is no history {path}")
    with as_usage():
        history = read_history(path)
    comparison = _comparison(folder, chosen)
    output = _output(folder, path, comparison is not None, chosen)
    convention = chosen.metric_convention or _stored_convention(folder) or "standard"
    title = (chosen.title or folder.resolve().name).encode("utf-8", "backslashreplace").decode()
    report = Report(history, comparison, convention, title)
    print(_summary(history, comparison))
    names = _write(output, report)
    print(f"\nSee {names}")
    return 0


def _output(folder: Path, history: Path, compared: bool, chosen: Chosen) -> Path:
    """The folder to write to. Raises: CommandError if it holds a report already."""
    names = ["history.png", *(["benford.png"] if compared else []), "report.json", "report.md"]
    read = (history, chosen.ground_truth, chosen.prediction, chosen.config_filepath)
    return check_outputs(chosen.output or folder / "analysis", names, chosen.y, *read)


def _comparison(folder: Path, chosen: Chosen):
    """The images' leading digits; None if there are no images and none were named."""
    from siren_fastai.analysis.benford import compare

    named = [chosen.ground_truth, chosen.prediction]
    if any(named) and not all(named):
        raise CommandError("give both --ground_truth and --prediction, or neither")
    paths = [Path(p) for p in named] if all(named) else [folder / "target.png", folder / "predicted_image.png"]
    if not any(named) and not all(p.is_file() for p in paths):
        return None
    with as_usage():
        return compare(*(_levels(p) for p in paths))


def _levels(path: Path):
    """The raw 8-bit levels of a file, nothing converted: `compare` rejects a screenshot's alpha channel."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError:
        raise CommandError(f"there is no image {path}") from None
    except (UnidentifiedImageError, OSError) as error:
        raise CommandError(f"{path} is not an image that can be read ({error})") from None


def _stored_convention(folder: Path) -> str | None:
    """The convention of the fit in this folder; None if there is none."""
    path = folder / "options.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metric_convention"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path} is damaged; give --metric_convention") from None


def _summary(history, comparison) -> str:
    from siren_fastai.analysis.history import describe

    parts = [history.head(5).to_string(index=False), describe(history).to_string()]
    if comparison is not None:
        parts += [comparison.table().set_index("digit").mul(100).round(2).to_string()]
        parts += [comparison.deviations().to_string()]
    return "\n\n".join(parts)


def _write(folder: Path, report) -> str:
    """Write all of it; returns the names."""
    from siren_fastai.analysis.figures import benford_figure, history_figure
    from siren_fastai.fits.outputs import save_figure

    figures = {"history.png": history_figure(report.history, report.title)}
    if report.benford is not None:
        figures["benford.png"] = benford_figure(report.benford)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    for name, text in {"report.json": report.to_json(), "report.md": report.to_markdown()}.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return f"{folder}: report.md, report.json, {', '.join(figures)}"


COMMAND = Command(
    name="analyze",
    summary="describe a training history and the leading digits of its images",
    about="Describe a training history, and the leading digits of its image and of the reconstruction.",
    usage="HISTORY [options]",
    groups={"options": OPTIONS},
    run=run,
)
