"""`siren-fastai analyze`: a training history and the leading digits of its pictures, as report and figures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from siren_fastai.analysis.benford import BenfordComparison, compare
from siren_fastai.analysis.figures import benford_figure, history_figure
from siren_fastai.analysis.history import describe, read_history
from siren_fastai.analysis.report import Report
from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.outputs import save_figure
from siren_fastai.files import replacing

__all__ = ["run"]


def run(chosen: Chosen) -> int:
    """Write report.json, report.md, history.png and, given pictures, benford.png; print head and summary."""
    path = Path(chosen.history)
    folder = path if path.is_dir() else path.parent
    path = path / "history.txt" if path.is_dir() else path
    if not path.is_file():
        raise CommandError(f"there is no history {path}")
    with as_usage():
        history = read_history(path)
    comparison = _comparison(folder, chosen)
    convention = chosen.metric_convention or _stored_convention(folder) or "standard"
    report = Report(history, comparison, convention, chosen.title or folder.resolve().name)
    print(_summary(history, comparison))
    names = _write(Path(chosen.output) if chosen.output else folder / "analysis", report)
    print(f"\nSee {names}")
    return 0


def _comparison(folder: Path, chosen: Chosen) -> BenfordComparison | None:
    """The pictures' leading digits; None where there are no pictures, which is only right if none were named."""
    named = [chosen.ground_truth, chosen.prediction]
    if any(named) and not all(named):
        raise CommandError("give both --ground_truth and --prediction, or neither")
    paths = [Path(p) for p in named] if all(named) else [folder / "target.png", folder / "predicted_image.png"]
    if not any(named) and not all(p.is_file() for p in paths):
        return None
    with as_usage():
        return compare(*(_levels(p) for p in paths))


def _levels(path: Path) -> np.ndarray:
    """The raw 8-bit levels of a file, nothing converted: a screenshot's alpha must be seen to be refused."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except FileNotFoundError:
        raise CommandError(f"there is no picture {path}") from None
    except (UnidentifiedImageError, OSError) as error:
        raise CommandError(f"{path} is not a picture that can be read ({error})") from None


def _stored_convention(folder: Path) -> str | None:
    """What the fit of this folder measured in."""
    path = folder / "options.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metric_convention"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path} is damaged; say --metric_convention") from None


def _summary(history: pd.DataFrame, comparison: BenfordComparison | None) -> str:
    parts = [history.head(5).to_string(index=False), describe(history).to_string()]
    if comparison is not None:
        parts += [comparison.table().set_index("digit").mul(100).round(2).to_string()]
        parts += [comparison.deviations().to_string()]
    return "\n\n".join(parts)


def _write(folder: Path, report: Report) -> str:
    """Write all of it; returns the names."""
    figures = {"history.png": history_figure(report.history, report.title)}
    if report.benford is not None:
        figures["benford.png"] = benford_figure(report.benford)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    for name, text in {"report.json": report.to_json(), "report.md": report.to_markdown()}.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return f"{folder}: report.md, report.json, {', '.join(figures)}"
