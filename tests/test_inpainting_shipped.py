"""The trained network that lies in `data/`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from siren_fastai.images import load_image
from siren_fastai.inpainting.baselines import BASELINES
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.scores import hole_psnr

pytestmark = pytest.mark.numerics

DATA = Path(__file__).parent.parent / "data"
MODEL = DATA / "inpainting.safetensors"


def test_the_trained_network_is_small_and_says_how_it_was_trained():
    assert MODEL.stat().st_size <= 3_000_000
    model = load_network(MODEL)
    assert model.channels == 3 and not model.training
    assert model.about["samples"] > 0 and not any(
        "chelsea" in name or "coffee" in name for name in model.about["photos"]
    )


def test_the_trained_network_fills_a_photo_that_it_never_saw_better_than_every_classic_fill():
    photo, model, holes = load_image(DATA / "cat.png"), load_network(MODEL), Rectangles(2, 2, side=(24, 56))
    scores = {name: [] for name in (*BASELINES, "network")}
    for seed in range(5):
        mask = holes.paint(
            torch.from_numpy(holes.draw(np.random.default_rng(seed), photo.shape[:2]))[None], photo.shape[:2]
        )
        for name in scores:
            fill = BASELINES.get(name, lambda image, known: fill_image(model, image, known))
            filled = fill(photo, mask[0, 0])
            assert torch.equal(filled[mask[0, 0]], photo[mask[0, 0]])
            scores[name].append(hole_psnr(*(x.permute(2, 0, 1)[None] for x in (filled, photo)), mask).item())
    means = {name: np.mean(values) for name, values in scores.items()}
    assert all(means["network"] > mean for name, mean in means.items() if name != "network"), means
