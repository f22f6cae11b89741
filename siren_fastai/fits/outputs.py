"""What a finished fit leaves besides its history and checkpoints: images, scores, figures."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from siren_fastai.analysis.figures import history_figure
from siren_fastai.analysis.history import COLUMNS
from siren_fastai.figures import fit_figure
from siren_fastai.files import replacing, write_json
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.record import RecordFit
from siren_fastai.fits.scores import describe_scores, metrics_of, score
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.state import Checkpoint
from siren_fastai.images import save_image
from siren_fastai.learner import PixelLearner

__all__ = ["FitResult", "save_figure", "write_outputs"]


@dataclass(frozen=True, repr=False)
class FitResult:
    """A finished fit: what was asked for, the network, what it scores, and where everything is.

    Shapes: `target` and `image` (h, w, c) float32 in [0, 1].
    """

    settings: FitSettings  # with nothing left open
    folder: Path
    files: tuple[str, ...]  # what was written to `folder`, besides checkpoints/ and summaries/
    checkpoint: Checkpoint  # the final network: `.model`, `.render(size)`
    learn: PixelLearner  # to train on by hand; what it does from here is not recorded
    target: Tensor
    image: Tensor  # the network's
    history: pd.DataFrame  # columns `COLUMNS`, a row before each epoch
    scores: dict  # "mse", "psnr", "ssim" in the settings' convention
    metrics: dict | None  # with `evaluate`: the scores in both conventions, and sizes
    seconds: float  # of training

    def __repr__(self) -> str:
        return (
            f"{describe_scores(self.scores)} ({self.settings.metric_convention} convention) after "
            f"{self.checkpoint.epoch} epochs, {self.seconds:.1f} s of training\n"
            f"See {self.folder}: {', '.join(self.files)}, checkpoints/"
        )


def write_outputs(final: Checkpoint, record: RecordFit, learn: PixelLearner) -> FitResult:
    """Write the prediction, and as the settings ask scores and figures."""
    folder, settings, target = record.folder, record.settings, record.target
    history, image, metrics = pd.DataFrame(record.rows, columns=list(COLUMNS)), final.render(), None
    files = ["history.txt"] if record.rows else []
    save_image(image, folder / "predicted_image.png")
    scores, files = score(image, target, settings.metric_convention), [*files, "predicted_image.png"]
    if settings.evaluate:
        metrics = _evaluate(record, final, scores["psnr"])
        files += ["predicted_image_with_metrics.png", "metrics.json"]
    if settings.plot_history and record.rows:
        save_figure(history_figure(history, folder.name), folder / "history.png")
        files.append("history.png")
    return FitResult(
        **dict(settings=settings, folder=folder, files=tuple(files), checkpoint=final, learn=learn, target=target),
        **dict(image=image, history=history, scores=scores, metrics=metrics, seconds=record.seconds),
    )


def _evaluate(record: RecordFit, final: Checkpoint, level: float) -> dict:
    """Score the final network as read back from its file, and draw it; `level` is its PSNR in the convention used."""
    saved = load_checkpoint(record.folder / "checkpoints" / "model_final.safetensors")
    saved.model.to(next(final.model.parameters()).device)
    prediction = saved.render()
    metrics = metrics_of(saved, prediction, record.target)
    write_json(metrics, record.folder / "metrics.json")
    levels, seconds = [*(row[2] for row in record.rows), level], [*(row[3] for row in record.steps), record.seconds]
    figure = fit_figure(record.target, prediction, levels, seconds)
    figure.suptitle(describe_scores(metrics["standard"]))
    save_figure(figure, record.folder / "predicted_image_with_metrics.png")
    return metrics


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure; an interrupted write leaves an older file whole."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
