"""One fit from plain settings to a row of a table, its history, and if asked for its images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.torch_core import set_seed
from torch import Tensor

from siren_fastai.callbacks.save_picture_at import SavePictureAt
from siren_fastai.data import PixelDataLoaders
from siren_fastai.error_maps import absolute_error, frequency_error
from siren_fastai.files import replacing, write_json
from siren_fastai.images import save_image
from siren_fastai.learner import PixelLearner
from siren_fastai.study.fitting.data import image_of, loaders_of
from siren_fastai.study.fitting.network import Network, network_of
from siren_fastai.study.fitting.scores import (
    BANDS,
    level_in_db,
    off_grid_quality,
    quality_of,
    split_quality,
    tidy_history,
    work_of,
    work_to_levels,
)
from siren_fastai.study.fitting.training import epochs_of, evaluated_every, flops_per_sample, train

__all__ = ["Course", "Fitted", "fit_settings", "prepare", "run_fit", "score", "write_fit"]


@dataclass(frozen=True)
class Fitted:
    """A finished fit. Shapes: `image` (h, w, c) in [0, 1], `prediction` alike but not clamped, NaN if it diverged."""

    learn: PixelLearner
    network: Network
    image: Tensor
    prediction: Tensor
    history: pd.DataFrame  # columns `HISTORY_COLUMNS`
    row: dict  # of the study's table


def run_fit(settings: Mapping, folder: Path) -> dict:
    """Fit, write `history.csv` and what the settings ask for to `folder`, and return the row of the study's table."""
    fitted = fit_settings(settings, folder)
    write_fit(fitted, settings, folder)
    return fitted.row


def fit_settings(
    settings: Mapping,  # complete
    folder: Path,  # of the images of levels, if the settings ask for them
) -> Fitted:
    """Fit the image, the same way each time for the same settings.

    Raises: ValueError for settings that do not suit the image, before any training.
    """
    image, dls, network = prepare(settings)
    learn, history = train(settings, dls, network, _level_pictures(settings, dls, folder))
    work = history.opt_steps, history.samples_seen, history.train_seconds
    return score(settings, learn, network, image, Course(history.rows, len(history.rows), *work))


@dataclass(frozen=True)
class Course:
    """How a fit went: rows as those of `MetricHistory`, and the epochs, steps, samples and seconds of training."""

    rows: list[dict]
    epochs: int  # that ended; fewer than asked for if the loss was infinite or NaN
    steps: int
    samples: int
    seconds: float
    together: int = 1  # fits in one stack, of whose seconds these are a share


def prepare(
    settings: Mapping,  # complete
) -> tuple[Tensor, PixelDataLoaders, Network]:
    """Return the image, its loaders and the new network of a fit, all decided by its random seed."""
    set_seed(settings["seed"] % 2**32, reproducible=True)
    image = image_of(settings)
    dls = loaders_of(settings, image)
    return image, dls, network_of(settings, dls, image)


def score(
    settings: Mapping,  # complete
    learn: PixelLearner,  # of the trained network
    network: Network,
    image: Tensor,  # (h, w, c)
    course: Course,
) -> Fitted:
    """Return the fit with the row of its table."""
    dls = learn.dls
    with learn.no_bar():
        prediction = learn.render(clamp=None)
    if course.epochs < epochs_of(settings, dls):
        prediction = prediction.fill_(math.nan)
    per_sample = flops_per_sample(settings, learn.model, dls.train.one_batch()[0])
    work = work_of(per_sample, course.steps, course.samples, course.seconds)
    table = tidy_history(course.rows, work["flops_per_step"] or 0.0)
    row = {
        **quality_of(prediction, image),
        "best_psnr": None if table.empty or np.isnan(table["psnr"]).all() else float(table["psnr"].max()),
        **work_to_levels(table, settings["levels"], settings["level_unit"]),
        **work,
        "total_epochs": course.epochs,
        "stacked": course.together,
        **dict(n_parameters=network.n_parameters, bytes=network.n_bytes, label_bytes=network.label_bytes),
        **split_quality(prediction, image, dls.train_ds),
        **off_grid_quality(learn.model, dls.train_ds, image, image_of(settings, zoom=2)),
    }
    return Fitted(learn, network, image, prediction, table, row)


def write_fit(fitted: Fitted, settings: Mapping, folder: Path) -> None:
    """Write `history.csv`, and with `pictures` also the image, its target, its error and the error's bands.

    In error.png, white is the greatest error, which bands.json states.
    """
    with replacing(folder / "history.csv") as temporary:
        fitted.history.to_csv(temporary, index=False)
    if not settings["pictures"] or fitted.row["mse"] is None:
        return
    image = fitted.prediction.clamp(0, 1)
    save_image(fitted.image, folder / "target.png")
    save_image(image, folder / "image.png")
    error = absolute_error(image, fitted.image)
    save_image(error / error.max().clamp(min=1e-6), folder / "error.png")
    bands = frequency_error(image, fitted.image, BANDS).tolist()
    scales = {"band_width_in_nyquist": 1 / BANDS, "greatest_error": error.max().item()}
    write_json({"bands": bands, "mse": fitted.row["mse"], **scales}, folder / "bands.json")


def _level_pictures(settings: Mapping, dls: PixelDataLoaders, folder: Path) -> list[SavePictureAt]:
    if not settings["pictures"] or not settings["levels"] or dls.train_ds.grid is None:
        return []
    levels = sorted({level_in_db(level, settings["level_unit"]) for level in settings["levels"]})
    return [SavePictureAt(folder, levels, evaluated_every(epochs_of(settings, dls), settings["evaluations"]))]
