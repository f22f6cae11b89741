"""One network that fills holes, from plain settings to a row of a table, its history, and if asked for its images."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from fastai.torch_core import set_seed
from torch import Tensor

from siren_fastai.figures import mosaic
from siren_fastai.files import replacing
from siren_fastai.images import save_image
from siren_fastai.inpainting.masks import composite
from siren_fastai.study.course import Course
from siren_fastai.study.inpainting.data import loaders_of
from siren_fastai.study.inpainting.images import Holed, parts_of, scored_windows
from siren_fastai.study.inpainting.network import Scaled, network_of
from siren_fastai.study.inpainting.scores import HISTORY_COLUMNS, Predict, all_scores, scores_of
from siren_fastai.study.inpainting.settings import UNTRAINED
from siren_fastai.study.inpainting.training import Trained, train

__all__ = ["run_inpainting"]

AT_A_TIME = 64  # windows
PICTURES = 16  # windows in a picture


def run_inpainting(settings: Mapping, folder: Path) -> dict:
    """Train, write `history.csv` and what the settings ask for to `folder`, and return the row of the study's table.

    The same settings give the same row, seconds apart. Raises: ValueError for settings that don't suit the images,
    before any training.
    """
    parts = parts_of(settings)
    tests = scored_windows(settings, parts)
    set_seed(settings["seed"] % 2**32, reproducible=True)
    dls = loaders_of(settings, parts.train)
    model = network_of(settings).to(dls.device)
    predict = _predicting(model)
    trained = _trained(settings, dls, model, predict, tests["valid"])
    with replacing(folder / "history.csv") as temporary:
        trained.course.history.to_csv(temporary, index=False)
    if settings["pictures"]:
        _draw(predict, tests["valid"], folder)
    return {**all_scores(predict, tests), **_work(trained, model)}


def _predicting(model: Scaled) -> Predict:
    """Outputs of the model in eval mode, in colours from 0 to 1, on the CPU; afterwards it is in its own mode again."""

    @torch.no_grad()
    def predict(images: Tensor, masks: Tensor) -> Tensor:
        training, device = model.training, next(model.parameters(), images).device
        parts = zip(images.split(AT_A_TIME), masks.split(AT_A_TIME), strict=True)
        try:
            outputs = [model.eval()(image.to(device), mask.to(device)).float().cpu() for image, mask in parts]
        finally:
            model.train(training)
        return torch.cat(outputs) / model.top

    return predict


def _trained(settings: Mapping, dls, model: Scaled, predict: Predict, valid: Holed) -> Trained:
    """How training went; what is no network has none."""
    if settings["network"] in UNTRAINED:
        return Trained(Course(pd.DataFrame(columns=list(HISTORY_COLUMNS)), 0), None, 0, False)

    def evaluate() -> dict:
        return {f"psnr_{kind}": scores_of(predict, valid.images, masks)["psnr"] for kind, masks in valid.masks.items()}

    return train(settings, dls, model, evaluate)


def _work(trained: Trained, model: Scaled) -> dict:
    course = trained.course
    return {
        **dict(train_loss=trained.train_loss, reverts=trained.reverts, gave_up=trained.gave_up),
        **dict(samples_seen=course.samples, total_steps=course.steps, train_seconds=course.seconds),
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "receptive_field": getattr(model.network, "receptive_field", None),
    }


def _draw(predict: Predict, test: Holed, folder: Path) -> None:
    """Write holes.png, filled.png and images.png."""
    every = max(1, len(test.images) // PICTURES)
    images, masks = test.images[::every][:PICTURES], test.masks["large"][::every][:PICTURES]
    holed = images * masks
    filled = composite(predict(holed, masks).nan_to_num(1.0).clamp(0, 1), images, masks)
    for name, shown in (("holes", holed), ("filled", filled), ("images", images)):
        save_image(mosaic(shown).nan_to_num(1.0), folder / f"{name}.png")
