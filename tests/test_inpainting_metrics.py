"""Scores against their formulas, metrics over epochs of uneven batches, and the Fréchet distance in closed form."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from learners import quiet
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from siren_fastai.inpainting import metrics
from siren_fastai.inpainting.frechet import frechet_distance, texture_features
from siren_fastai.inpainting.losses import InpaintingLoss
from siren_fastai.inpainting.scores import filled_ssim, hole_l1, hole_psnr, known_l1, known_psnr, pooled_psnr

pytestmark = pytest.mark.numerics


def batch(n=5, size=(12, 14), noise=0.2):
    """Predictions, targets and masks with holes of several sizes; predictions leave [0, 1] here and there."""
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.random((n, 3, *size))).float()
    pred = target + noise * torch.from_numpy(rng.normal(size=target.shape)).float()
    mask = torch.ones(n, 1, *size)
    for i in range(n):
        mask[i, :, 1 : 3 + i, 2 : 9 + i] = 0
    return pred, target, mask


def parts(pred, target, mask):
    """For each image: the clamped prediction and the target in the hole, then at the known pixels, as arrays."""
    for p, t, m in zip(pred.clamp(0, 1).double().numpy(), target.double().numpy(), mask.numpy(), strict=True):
        hole = np.broadcast_to(m == 0, t.shape)
        yield p[hole], t[hole], p[~hole], t[~hole]


def test_scores_are_those_of_each_images_hole_and_known_pixels():
    of_images = list(parts(*batch()))
    for score, at in ((hole_psnr, 0), (known_psnr, 2)):
        wanted = [peak_signal_noise_ratio(p[at + 1], p[at], data_range=1) for p in of_images]
        np.testing.assert_allclose(score(*batch()).numpy(), wanted, atol=1e-4)
    for score, at in ((hole_l1, 0), (known_l1, 2)):
        wanted = [abs(p[at] - p[at + 1]).mean() for p in of_images]
        np.testing.assert_allclose(score(*batch()).numpy(), wanted, rtol=1e-5)


def test_the_pooled_psnr_is_that_of_all_holes_together():
    hole, target = (np.concatenate(values) for values in list(zip(*parts(*batch()), strict=True))[:2])
    assert pooled_psnr(*batch()) == pytest.approx(peak_signal_noise_ratio(target, hole, data_range=1), abs=1e-4)


def test_the_ssim_is_of_the_filled_image():
    pred, target, mask = batch()
    got = filled_ssim(pred, target, mask)
    for i in range(len(pred)):
        filled = torch.where(mask[i].bool(), target[i], pred[i].clamp(0, 1)).permute(1, 2, 0).double().numpy()
        options = dict(data_range=1.0, channel_axis=-1)
        wanted = structural_similarity(target[i].permute(1, 2, 0).double().numpy(), filled, **options)
        assert got[i].item() == pytest.approx(wanted, abs=1e-5)
    torch.testing.assert_close(filled_ssim(target, target, mask), torch.ones(5))


class Fill(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, image, mask):
        return image + self.bias


def learner(tmp_path, chosen, bs):
    pred, target, mask = batch()
    rows = list(zip(pred, mask, target, mask, strict=True))
    dls = DataLoaders(*(DataLoader(rows, bs=bs) for _ in range(2)), path=tmp_path)
    dls.n_inp = 2
    return quiet(Learner(dls, Fill(), loss_func=InpaintingLoss(), metrics=chosen))


@pytest.mark.parametrize("bs", [1, 2, 5])
def test_metrics_average_images_whatever_the_batches(tmp_path, bs):
    chosen = [getattr(metrics, name)() for name in metrics.__all__] + [metrics.HolePSNR(pooled=True)]
    values = learner(tmp_path, chosen, bs).validate()[1:]
    scores = {"filled_ssim": filled_ssim, "hole_l1": hole_l1, "hole_psnr": hole_psnr, "known_l1": known_l1}
    scores |= {"known_psnr": known_psnr, "pooled_hole_psnr": lambda *parts: torch.tensor(pooled_psnr(*parts))}
    assert [metric.name for metric in chosen] == list(scores)
    for value, score in zip(values, scores.values(), strict=True):
        assert value == pytest.approx(score(*batch()).mean().item(), rel=1e-5)


def fed(metric, pred, target, mask):
    metric.accumulate(SimpleNamespace(dl=None, pred=pred, yb=(target, mask)))
    return metric.value


def test_images_without_a_hole_do_not_count_in_the_hole_and_no_image_gives_no_value():
    pred, target, mask = batch()
    mask[4] = 1
    assert fed(metrics.HolePSNR(), pred, target, mask) == pytest.approx(hole_psnr(*batch())[:4].mean().item(), rel=1e-5)
    assert hole_psnr(pred, target, mask)[4].isnan()
    assert metrics.HolePSNR().value is None
    assert math.isnan(fed(metrics.HolePSNR(pooled=True), pred, target, torch.ones_like(mask)))
    assert fed(metrics.HolePSNR(), target, target, batch()[2]) == math.inf


@pytest.mark.parametrize("name", ["HolePSNR", "HoleL1", "FilledSSIM"])
def test_one_diverged_image_shows_in_the_mean(name):
    pred, target, mask = batch()
    pred[1] = math.nan
    assert math.isnan(fed(getattr(metrics, name)(), pred, target, mask))


def test_8_bit_targets_are_refused_instead_of_a_psnr_48_db_too_high():
    pred, target, mask = batch()
    with pytest.raises(ValueError, match=r"targets must be in \[0, 1\], got 0.* to 25.*: divide 8-bit images by 255"):
        fed(metrics.HolePSNR(), 255 * pred, 255 * target, mask)
    with pytest.raises(ValueError, match=r"must be \(n, c, h, w\) with a mask"):
        hole_psnr(pred, target, mask[:, :, 1:])


def test_metrics_start_again_with_each_epoch_and_say_what_they_are():
    metric = metrics.HolePSNR(pooled=True)
    fed(metric, *batch())
    metric.reset()
    assert metric.value is None and repr(metric) == "HolePSNR(pooled=True)" and repr(metrics.HoleL1()) == "HoleL1()"


def test_the_frechet_distance_is_zero_of_equal_sets_symmetric_and_the_closed_form_of_gaussians():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(300, 5)) + 1
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-8) and frechet_distance(a, b) > 1
    # with covariances that commute, sum of (mean difference)^2 + (standard deviation difference)^2
    c, shift, scale = rng.normal(size=(500, 5)), rng.normal(size=5), rng.uniform(0.5, 2, 5)
    c = (c - c.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(c, rowvar=False))).T  # exactly the unit covariance
    assert frechet_distance(c, c * scale + shift) == pytest.approx((shift**2 + (scale - 1) ** 2).sum(), rel=1e-8)


def test_the_frechet_distance_has_no_trouble_with_fewer_images_than_features():
    values = np.random.default_rng(0).normal(size=(2, 6, 48))
    assert 0 < frechet_distance(*values) < math.inf and frechet_distance(values[0], values[0]) < 1e-6


def test_texture_features_tell_blur_and_noise_from_the_images_that_had_them():
    clean = torch.nn.functional.interpolate(torch.rand(40, 3, 16, 16), scale_factor=2, mode="bilinear")
    near = clean + 0.02 * torch.randn_like(clean)
    blurred = torch.nn.functional.avg_pool2d(clean, 5, 1, 2)
    features = [texture_features(images) for images in (clean, near, blurred)]
    assert features[0].shape == (40, 48)
    distances = [frechet_distance(features[0], other) for other in features]
    assert distances[0] < 1e-6 < distances[1] < distances[2]
    torch.testing.assert_close(texture_features(clean + 0.1), features[0], atol=1e-5, rtol=1e-4)  # not brightness


def test_features_that_cannot_be_compared_are_refused():
    good = np.random.default_rng(0).normal(size=(5, 3))
    for bad, message in (
        (good[:1], "two or more images"),
        (good[0], "two or more images"),
        (good[:, :2], "the same features, got 3 and 2"),
        (good * np.nan, "aren't finite"),
    ):
        with pytest.raises(ValueError, match=message):
            frechet_distance(good, bad)
    with pytest.raises(ValueError, match="at least 28 x 28 pixels"):
        texture_features(torch.rand(2, 3, 28, 27))
