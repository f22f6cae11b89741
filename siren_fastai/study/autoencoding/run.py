"""One autoencoder from plain settings to a row of a table, its history, and if asked for its reconstructions."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from fastai.torch_core import set_seed
from torch import Tensor

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.figures import mosaic
from siren_fastai.files import replacing
from siren_fastai.images import save_image
from siren_fastai.study.autoencoding.data import images_as_they_are, loaders_of
from siren_fastai.study.autoencoding.network import autoencoder_of, count_parameters
from siren_fastai.study.autoencoding.scores import (
    HISTORY_COLUMNS,
    best,
    collapse_quality,
    quality,
    quality_in_train_mode,
    samples_to_levels,
    spread_of_codes,
)
from siren_fastai.study.autoencoding.training import train
from siren_fastai.study.course import Course

__all__ = ["run_autoencoder"]

TRAIN_IMAGES = 512  # of those that trained, to be scored
PICTURES = 16  # reconstructions in the picture


def run_autoencoder(settings: Mapping, folder: Path) -> dict:
    """Train, write `history.csv` and what the settings ask for to `folder`, and return the row of the study's table.

    The same settings give the same row, seconds apart. Raises: ValueError for settings that don't suit the images,
    before any training.
    """
    set_seed(settings["seed"] % 2**32, reproducible=True)
    dls = loaders_of(settings)
    images, train_images = images_as_they_are(dls.valid_ds), images_as_they_are(dls.train_ds)
    model = autoencoder_of(settings, train_images).to(dls.device)
    model.encode(images[:2])  # images of another shape are an error here
    course = _trained(settings, dls, model, images)
    with replacing(folder / "history.csv") as temporary:
        course.history.to_csv(temporary, index=False)
    if settings["pictures"]:
        _draw(model, images[:: max(1, len(images) // PICTURES)][:PICTURES], folder)
    return {**_scores(settings, model, images, train_images), **_work(settings, course, model)}


def _trained(settings: Mapping, dls: PictureDataLoaders, model: Autoencoder, images: Tensor) -> Course:
    """How training went; principal components have none, and saw all images."""
    if settings["encoder"] == "pca":
        return Course(pd.DataFrame(columns=list(HISTORY_COLUMNS)), len(dls.train_ds))
    return train(settings, dls, model, lambda: {**quality(model, images), **spread_of_codes(model, images)})


def _scores(settings: Mapping, model: Autoencoder, images: Tensor, train_images: Tensor) -> dict:
    of_train = quality(model, train_images[:: -(-len(train_images) // TRAIN_IMAGES)])
    noted = quality_in_train_mode(model, images, settings["bs"])
    row = {**quality(model, images), **spread_of_codes(model, images)}
    row |= {f"train_{name}": of_train[name] for name in ("l1", "mse")}
    row |= {f"{name}_in_train_mode": noted[name] for name in ("l1", "mse")}
    row |= {"mode_gap": _gap(row["l1"], noted["l1"]), "median_l1": collapse_quality(train_images, images)}
    row |= {"diverged": row["l1"] is None}
    return row


def _gap(value: float | None, other: float | None) -> float | None:
    """How far a value is from another, as a share of that."""
    return None if value is None or not other else abs(value - other) / other


def _work(settings: Mapping, course: Course, model: Autoencoder) -> dict:
    counts = {f"n_{name}": count_parameters(getattr(model, name)) for name in ("encoder", "decoder")}
    return {
        **best(course.history),
        **samples_to_levels(course.history, settings["levels"], settings["level_unit"]),
        **dict(samples_seen=course.samples, total_steps=course.steps, train_seconds=course.seconds),
        **dict(seconds_per_1000=1000 * course.seconds / course.samples if course.samples else None),
        **dict(n_parameters=sum(counts.values()), **counts),
    }


@torch.no_grad()
def _draw(model: Autoencoder, images: Tensor, folder: Path) -> None:
    """Write images.png and reconstructions.png."""
    drawn = model.eval()(images).clamp(0, 1)
    save_image(mosaic(images.cpu()).nan_to_num(1.0), folder / "images.png")
    save_image(mosaic(drawn.cpu()).nan_to_num(1.0), folder / "reconstructions.png")
