"""What a finished fit leaves besides its history and checkpoints: pictures, scores, figures."""

import json
import os
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from siren_fastai.analysis.figures import history_figure
from siren_fastai.analysis.history import COLUMNS
from siren_fastai.checkpoint import Checkpoint, load_checkpoint
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.recording import RecordFit
from siren_fastai.cli.scores import metrics_of, score
from siren_fastai.figures import fit_figure
from siren_fastai.files import replacing
from siren_fastai.images import save_image

__all__ = ["describe_scores", "save_figure", "save_json", "write_outputs"]


def write_outputs(final: Checkpoint, record: RecordFit, target: Tensor, chosen: Chosen) -> str:
    """Write the prediction, and as the options ask scores and figures. Returns what to say."""
    folder, names = record.folder, ["history.txt"] if record.rows else []
    prediction = final.render()
    save_image(prediction, folder / "predicted_image.png")
    scores, names = score(prediction, target, chosen.metric_convention), [*names, "predicted_image.png"]
    if chosen.evaluate:
        names += _evaluate(record, target, final)
    if chosen.show_graphics and record.rows:
        history = pd.DataFrame(record.rows, columns=list(COLUMNS))
        save_figure(history_figure(history, folder.name), folder / "history.png")
        names.append("history.png")
        _show(folder / "history.png")
    return (
        f"{describe_scores(scores)} ({chosen.metric_convention} convention) after {final.epoch} epochs, "
        f"{record.seconds:.1f} s of training\nSee {folder}: {', '.join(names)}, checkpoints/"
    )


def _evaluate(record: RecordFit, target: Tensor, final: Checkpoint) -> list[str]:
    """Score the final network as read back from its file; returns the names of what was written."""
    saved = load_checkpoint(record.folder / "checkpoints" / "model_final.safetensors")
    saved.model.to(next(final.model.parameters()).device)
    prediction = saved.render()
    metrics = metrics_of(saved, prediction, target)
    save_json(metrics, record.folder / "metrics.json")
    levels = [row[2] for row in record.rows] + [score(prediction, target, record.chosen.metric_convention)["psnr"]]
    seconds = [row[3] for row in record.steps] + [record.seconds]
    figure = fit_figure(target, prediction, levels, seconds)
    figure.suptitle(describe_scores(metrics["standard"]))
    save_figure(figure, record.folder / "predicted_image_with_metrics.png")
    return ["predicted_image_with_metrics.png", "metrics.json"]


def describe_scores(scores: dict) -> str:
    """`PSNR 30.00 dB, SSIM 0.9000, MSE 0.001000`."""
    return f"PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}, MSE {scores['mse']:.6f}"


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure; an interrupted write leaves an older file whole."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def save_json(content: dict, path: Path) -> None:
    """Write strict JSON: an infinite PSNR becomes the string "inf"."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(strict(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def strict(value):
    """`value` without the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    unknown = isinstance(value, float) and (value != value or abs(value) == float("inf"))
    return str(value) if unknown else value


def _show(path: Path) -> None:
    """Open the picture where someone can see it."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("darwin", "win32")
    if display and sys.stdout.isatty():
        with Image.open(path) as picture:
            picture.show()
