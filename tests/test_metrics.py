"""PSNR and SSIM over an epoch equal scikit-image's on the whole image, for any batch size."""

import gc
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learners import picture, pixel_learner, plain_learner, quiet
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR, SNR, SSIM, BatchRows, default_metrics
from siren_fastai.models.siren import siren_model

pytestmark = pytest.mark.numerics


@pytest.mark.parametrize("valid_bs", [1000, 37, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_metrics_equal_scikit_image_for_any_batch_size(tmp_path, valid_bs, channels):
    learn = pixel_learner(
        tmp_path, dims=(2, 16, channels), metrics=[PSNR(), SSIM(), SSIM(gaussian=True)], size=(16, 13)
    )
    learn.fit(2, 1e-2)
    learn.dls.valid.bs = valid_bs
    _, got_psnr, got_ssim, got_gaussian = learn.validate()
    target, pred = picture(16, 13, channels).astype(np.float64), learn.render().numpy().astype(np.float64)
    assert got_psnr == pytest.approx(peak_signal_noise_ratio(target, pred, data_range=1.0), abs=1e-4)
    options = dict(data_range=1.0, channel_axis=-1)
    assert got_ssim == pytest.approx(structural_similarity(target, pred, **options), abs=1e-5)
    options |= dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert got_gaussian == pytest.approx(structural_similarity(target, pred, **options), abs=1e-5)


def fed(metric, *batches):
    for pred, target in batches:
        metric.accumulate(SimpleNamespace(dl=None, pred=torch.tensor(pred), yb=(torch.tensor(target),)))
    return metric.value


def test_psnr_is_pooled_not_averaged():
    value = fed(PSNR(), ([[0.5]], [[0.5]]), ([[0.5]], [[0.6]]))
    assert value == pytest.approx(10 * math.log10(2 / 0.01), abs=1e-4)


def test_psnr_clamps_predictions_to_its_range():
    assert fed(PSNR(), ([[3.0]], [[1.0]])) == math.inf
    assert fed(PSNR(clamp=False), ([[1.5]], [[1.0]])) == pytest.approx(10 * math.log10(1 / 0.25), abs=1e-5)
    assert fed(PSNR(2.0, low=-1.0), ([[-9.0]], [[-0.9]])) == pytest.approx(10 * math.log10(4 / 0.01), abs=1e-4)


def test_psnr_forgets_on_reset_and_has_no_value_without_samples():
    metric = PSNR()
    fed(metric, ([[0.0]], [[1.0]]))
    metric.reset()
    assert metric.value is None and fed(metric, ([[0.4]], [[0.5]])) == pytest.approx(20, abs=1e-4)


def test_psnr_works_in_a_plain_learner(tmp_path):
    learn = plain_learner(tmp_path, metrics=PSNR(data_range=4.0, clamp=False))
    loss, value = learn.validate()
    assert value == pytest.approx(10 * math.log10(16 / loss), abs=1e-4)


def test_ssim_without_a_whole_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="valid='all'"):
        pixel_learner(tmp_path, metrics=SSIM(), valid=0.5).validate()
    with pytest.raises(ValueError, match="PixelDataLoaders"):
        plain_learner(tmp_path, metrics=SSIM()).validate()
    sound = PixelDataLoaders.from_array(np.zeros((40, 1), np.int16), path=tmp_path)
    with pytest.raises(ValueError, match="2-D PixelDataLoaders"):
        quiet(siren_learner(sound, siren_model([1, 8, 1]), metrics=SSIM(2.0, low=-1.0))).validate()


@pytest.mark.parametrize("metric", [PSNR, SSIM])
@pytest.mark.parametrize(
    "bad", [dict(data_range=0), dict(data_range=math.inf), dict(data_range=math.nan), dict(low=math.nan)]
)
def test_a_range_of_nothing_is_refused(metric, bad):
    with pytest.raises(ValueError, match="`data_range` must be above 0 and `low` finite"):
        metric(**bad)


def test_representations_show_the_range():
    assert repr(PSNR(2.0, low=-1.0)) == "PSNR(data_range=2.0, low=-1.0, clamp=True)"
    assert repr(SSIM(gaussian=True)) == "SSIM(data_range=1.0, low=0.0, gaussian=True)"


def test_targets_outside_the_range_of_a_psnr_are_refused_not_reported(tmp_path):
    """Predictions clamped to [0, 1] would be compared with targets in [-1, 1]."""
    dls = PixelDataLoaders.from_array(picture() * 2 - 1, bs=40, valid_bs=7, path=tmp_path)
    model = siren_model([2, 8, 3])
    with pytest.raises(
        ValueError, match=r"`PSNR` expects targets in \[0, 1\], got -[\d.]+ to [\d.]+: state their range"
    ):
        quiet(siren_learner(dls, model, metrics=PSNR())).validate()
    loss, stated, raw = quiet(siren_learner(dls, model, metrics=[PSNR(2.0, low=-1.0), PSNR(clamp=False)])).validate()
    assert raw == pytest.approx(-10 * math.log10(loss), abs=1e-4) and stated > raw
    assert fed(PSNR(), ([[0.5]], [[1.000001]])) == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_psnr_may_be_of_training_too(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.recorder.train_metrics = True
    learn.fit(1)
    assert learn.recorder.metric_names[1:5] == ["train_loss", "train_psnr", "valid_loss", "valid_psnr"]
    assert 0 < learn.final_record[1] < 99


def test_the_default_metric_is_a_psnr_only_where_the_range_is_known():
    values = picture()
    image, stated = PixelDataLoaders.from_image(values), PixelDataLoaders.from_array(values, value_range=(-1, 3))
    assert [repr(m) for m in default_metrics(image)] == [repr(PSNR())]
    assert [repr(m) for m in default_metrics(stated)] == [repr(PSNR(4.0, low=-1.0))]
    assert default_metrics(PixelDataLoaders.from_array(values)) == []


def test_ssim_of_a_shifted_range_is_that_of_the_image(tmp_path):
    unit = pixel_learner(tmp_path, metrics=SSIM())
    shifted = pixel_learner(tmp_path, metrics=SSIM(2.0, low=-1.0))
    shifted.dls.train_ds.values = unit.dls.train_ds.values * 2 - 1
    with torch.no_grad():
        shifted.model.load_state_dict(unit.model.state_dict())
        shifted.model[-1].weight.mul_(2), shifted.model[-1].bias.mul_(2).sub_(1)
    assert shifted.validate()[1] == pytest.approx(unit.validate()[1], abs=1e-5)


def test_ssim_of_shuffled_pixels_is_nan_and_is_not_mixed_with_validation(tmp_path):
    learn = pixel_learner(tmp_path, metrics=SSIM())
    assert math.isnan(learn.validate(ds_idx=0)[1])
    value = learn.validate()[1]
    assert 0 < abs(value) < 1 and learn.metrics[0].value == value and not learn.metrics[0].preds


class WithoutFloat64(TorchDispatchMode):
    """A device that lacks float64, as Apple's does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        assert not any(t.dtype == torch.float64 for t in tree_leaves((args, out)) if isinstance(t, torch.Tensor))
        return out


def test_psnr_needs_no_float64_on_the_device_and_loses_nothing_by_it():
    learn = SimpleNamespace(dl=None, pred=torch.zeros(64, 1), yb=(torch.full((64, 1), 1e-2),))
    metric = PSNR()
    with WithoutFloat64():
        for _ in range(300):
            metric.accumulate(learn)
        value = metric.value
    assert value == pytest.approx(40.0, abs=1e-5)


@pytest.mark.parametrize("metric", [PSNR(2.0, -1.0), SNR()])
def test_a_metric_keeps_no_tensor_per_batch(metric):
    def tensors_after(batches):
        for _ in range(batches):
            metric.accumulate(SimpleNamespace(dl=None, pred=torch.zeros(8, 1), yb=(torch.ones(8, 1),)))
        gc.collect()
        return sum(type(found) is torch.Tensor for found in gc.get_objects())

    assert tensors_after(10) == tensors_after(300)  # each would split the heap of large batches
    assert metric.value == pytest.approx(10 * math.log10(4) if type(metric) is PSNR else 0)


@pytest.mark.parametrize("n", [0, 1, 256, 700])
def test_rows_of_batches_come_back_in_their_order(n):
    kept, rows = BatchRows(), torch.arange(2.0 * n).view(n, 2)
    for row in rows:
        kept.append(row)
    assert torch.equal(kept.rows(), rows) if n else kept.rows() is None
