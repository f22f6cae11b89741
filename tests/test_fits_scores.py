"""The scores of a fit in both conventions, and the JPEG that is as good."""

import math

import numpy as np
import pytest
import torch
from learners import picture
from skimage.metrics import structural_similarity

from siren_fastai.classics import decode_classic, encode_classic
from siren_fastai.fits.scores import jpeg_of_equal_psnr, score
from siren_fastai.quality import psnr

pytestmark = pytest.mark.numerics


@pytest.fixture(scope="module")
def images():
    """An image and a prediction that leaves [0, 1]."""
    target = torch.from_numpy(picture(24, 20))
    return target, 1.3 * target - 0.15


def test_the_standard_convention_clamps_for_psnr_and_ssim(images):
    target, prediction = images
    clamped, scores = prediction.clamp(0, 1), score(prediction, target)
    pair = [x.double().numpy() for x in (target, clamped)]
    assert scores["ssim"] == pytest.approx(structural_similarity(*pair, data_range=1, channel_axis=-1))
    assert scores["psnr"] == pytest.approx(-10 * math.log10(np.mean((pair[1] - pair[0]) ** 2)), abs=1e-4)


def test_the_reports_convention_is_that_of_values_in_minus_one_to_one(images):
    target, prediction = (2 * x.double().numpy() - 1 for x in images)
    scores, error = score(images[1], images[0], "note"), np.mean((prediction - target) ** 2)
    assert scores["mse"] == pytest.approx(error) and scores["psnr"] == pytest.approx(-10 * math.log10(error))
    assert scores["ssim"] == pytest.approx(structural_similarity(target, prediction, data_range=1.0, channel_axis=-1))


@pytest.mark.parametrize("level", [20.0, 26.0, 30.0])
def test_the_jpeg_is_the_smallest_quality_of_that_psnr_with_optimised_tables(images, level):
    found, target = jpeg_of_equal_psnr(images[0], level), images[0]
    data = encode_classic(target, "jpeg", found["quality"])
    assert found["bytes"] == len(data) and found["psnr"] == pytest.approx(psnr(decode_classic(data), target))
    assert found["psnr"] >= level
    if found["quality"] > 1:
        worse = decode_classic(encode_classic(target, "jpeg", found["quality"] - 1))
        assert psnr(worse, target) < level


def test_no_jpeg_has_an_infinite_psnr(images):
    assert jpeg_of_equal_psnr(images[0], math.inf) is None
