"""MSE, PSNR and SSIM against their formulas and scikit-image; units, bits per pixel."""

import math

import numpy as np
import pytest
import torch
from skimage import metrics

from siren_fastai import quality
from siren_fastai.quality import (
    bits_per_pixel,
    convert_mse,
    mse,
    psnr,
    psnr_from_mse,
    ssim,
)

pytestmark = pytest.mark.numerics


def pair(*shape, noise=0.1):
    """A prediction that leaves [0, 1] here and there, and its target."""
    target = torch.rand(*shape)
    return target + noise * torch.randn(*shape), target


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3), (20, 1)])
def test_mse_and_psnr_follow_their_formulas_and_scikit_image(shape):
    pred, target = pair(*shape)
    p, t = pred.double().numpy(), target.double().numpy()
    assert mse(pred, target) == pytest.approx(((p - t) ** 2).mean(), rel=1e-12)
    assert psnr(pred, target, clamp=False) == pytest.approx(
        metrics.peak_signal_noise_ratio(t, p, data_range=1), abs=1e-9
    )
    clamped = metrics.peak_signal_noise_ratio(t, p.clip(0, 1), data_range=1)
    assert psnr(pred, target) == pytest.approx(clamped, abs=1e-9)
    assert isinstance(psnr(pred, target), float) and isinstance(mse(pred, target), float)


def test_an_error_of_a_tenth_everywhere_is_20_db():
    target = torch.full((4, 4, 3), 0.5)
    assert psnr(target + 0.1, target) == pytest.approx(20.0, abs=1e-5)


def test_large_images_are_summed_whole():
    pred, target = pair(1100, 1001)  # more values than are turned into float64 at a time
    error = np.clip(pred.double().numpy(), 0, 1) - target.double().numpy()
    assert mse(pred.clamp(0, 1), target) == pytest.approx((error**2).mean(), rel=1e-12)
    assert psnr(pred, target) == pytest.approx(-10 * math.log10((error**2).mean()), rel=1e-12)


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), lambda x: x.double(), lambda x: x.requires_grad_()])
def test_tensors_and_arrays_of_any_type_give_the_same_numbers(convert):
    pred, target = pair(12, 12, 3)
    expected = mse(pred, target), psnr(pred, target), ssim(pred, target)
    pred = convert(pred)
    assert (mse(pred, target), psnr(pred, target), ssim(pred, target)) == pytest.approx(expected, abs=1e-12)


def test_half_precision_is_measured_as_it_is():
    pred, target = pair(12, 12, 3)
    for dtype in (torch.float16, torch.bfloat16):
        assert mse(pred.to(dtype), target) == pytest.approx(mse(pred.to(dtype).float(), target), rel=1e-12)


def test_8_bit_arrays_do_not_wrap_around():
    pred, target = np.full((8, 8), 250, dtype=np.uint8), np.full((8, 8), 5, dtype=np.uint8)
    assert mse(pred, target) == 245**2
    expected = metrics.peak_signal_noise_ratio(target, pred, data_range=255)
    assert psnr(pred, target, data_range=255) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="got 5 to 5: say `data_range=255`"):
        psnr(pred, target)


def test_equal_images_are_infinitely_good():
    image = torch.rand(12, 12, 3)
    assert mse(image, image) == 0 and psnr(image, image) == math.inf
    for gaussian in (False, True):
        assert ssim(image, image, gaussian=gaussian) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("clamp", [True, False])
def test_nan_in_gives_nan_out(clamp):
    pred, target = pair(12, 12, 3)
    pred[3, 4, 1] = math.nan
    for a, b in ((pred, target), (target, pred)):
        assert math.isnan(mse(a, b)) and math.isnan(psnr(a, b, clamp=clamp)) and math.isnan(ssim(a, b))


def test_infinite_predictions_are_infinitely_bad_unless_clamped():
    pred, target = pair(12, 12, 3)
    pred[3, 4, 1] = math.inf
    assert psnr(pred, target, clamp=False) == -math.inf and math.isfinite(psnr(pred, target))
    assert math.isnan(ssim(pred, target))


def test_the_psnr_of_an_mse_follows_the_formula():
    assert psnr_from_mse(1e-3) == pytest.approx(30)
    assert psnr_from_mse(1e-3, 255) == pytest.approx(30 + 20 * math.log10(255))
    errors = np.array([0.0, 1e-4, np.inf, np.nan])
    np.testing.assert_allclose(psnr_from_mse(errors), [np.inf, 40, -np.inf, np.nan])
    assert psnr_from_mse(0.0) == math.inf and isinstance(psnr_from_mse(torch.tensor(0.1)), float)


@pytest.mark.parametrize("shape", [(16, 16), (11, 30, 3), (25, 12, 1)])
def test_ssim_equals_scikit_images_for_both_windows(shape):
    pred, target = pair(*shape)
    p, t = pred.double().numpy(), target.double().numpy()
    axis = -1 if len(shape) == 3 else None
    expected = metrics.structural_similarity(t, p, data_range=1.0, channel_axis=axis)
    assert ssim(pred, target) == pytest.approx(expected, abs=1e-9)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    expected = metrics.structural_similarity(t, p, data_range=1.0, channel_axis=axis, **options)
    assert ssim(pred, target, gaussian=True) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("height", [518, 519, 1100])
@pytest.mark.parametrize("gaussian", [False, True])
def test_ssim_of_tall_images_equals_scikit_images(height, gaussian):
    pred, target = pair(height, 12)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False) if gaussian else {}
    expected = metrics.structural_similarity(target.double().numpy(), pred.double().numpy(), data_range=1.0, **options)
    assert ssim(pred, target, gaussian=gaussian) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_one_window_follows_the_formula():
    pred, target = pair(7, 7)
    x, y = target.double().numpy(), pred.double().numpy()
    covariance = np.cov(x.ravel(), y.ravel())  # sample covariance, as scikit-image's default
    means, variances = (x.mean(), y.mean()), (covariance[0, 0], covariance[1, 1])
    luminance = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
    structure = (2 * covariance[0, 1] + 9e-4) / (sum(variances) + 9e-4)
    assert ssim(pred, target) == pytest.approx(luminance * structure, abs=1e-9)


def test_ssim_constants_scale_with_the_range():
    pred, target = pair(12, 12)
    assert ssim(255 * pred, 255 * target, data_range=255) == pytest.approx(ssim(pred, target), abs=1e-6)


@pytest.mark.parametrize("gaussian, side", [(False, 7), (True, 11)])
def test_ssim_rejects_images_smaller_than_its_window(gaussian, side):
    image = torch.rand(side, side, 3)
    assert ssim(image, image, gaussian=gaussian) == pytest.approx(1)
    with pytest.raises(ValueError, match=f"at least {side}x{side} pixels, got {side - 1}x30"):
        ssim(torch.rand(side - 1, 30, 3), torch.rand(side - 1, 30, 3), gaussian=gaussian)


def test_ssim_and_psnr_reject_values_in_minus_one_to_one_unless_clamp_says_so():
    pred, target = pair(12, 12)
    shifted = 2 * pred - 1, 2 * target - 1
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match=r"`target` must be in \[0, 2\]"):
            measure(*shifted, data_range=2)
    assert psnr(*shifted, data_range=2, clamp=(-1, 1)) == pytest.approx(psnr(pred, target), abs=1e-5)
    assert psnr(*shifted, data_range=2, clamp=False) == pytest.approx(psnr(pred, target, clamp=False), abs=1e-5)


def test_units_convert_as_the_data_does():
    target, error = torch.rand(16, 16, 3).double(), torch.randn(16, 16, 1).double().expand(-1, -1, 3)
    std, mean = torch.tensor([0.229, 0.224, 0.225]).double(), torch.tensor([0.485, 0.456, 0.406]).double()
    normalised = (target - mean) / std
    value = mse(normalised + 0.1 * error, normalised)  # the same error in each channel, in units of its deviation
    unit = mse((normalised + 0.1 * error) * std + mean, target)
    assert convert_mse(value, "imagenet", "unit") == pytest.approx(unit, rel=1e-6)
    pred = target + 0.1 * error
    assert convert_mse(mse(pred, target), "unit", "symmetric") == pytest.approx(mse(2 * pred - 1, 2 * target - 1))


def test_the_levels_of_the_initialisation_study_in_db():
    levels = [psnr_from_mse(convert_mse(value, "imagenet", "unit")) for value in (8e-4, 0.02, 0.08)]
    assert levels == pytest.approx([43.9, 29.9, 23.9], abs=0.05)


@pytest.mark.parametrize("source", quality.UNITS)
@pytest.mark.parametrize("to", quality.UNITS)
def test_converting_there_and_back_changes_nothing(source, to):
    values = np.array([0.0, 0.02, 1.0])
    np.testing.assert_allclose(convert_mse(convert_mse(values, source, to), to, source), values, rtol=1e-12)
    assert (convert_mse(1.0, source, to) == 1) == (source == to)


@pytest.mark.parametrize(
    "n_bytes, expected", [(176_396, 21.5), (176_396 / 2, 10.8), (5_736, 0.70), (793_604, 96.9), (0, 0.0)]
)
def test_bits_per_pixel_of_the_notes_networks(n_bytes, expected):
    assert bits_per_pixel(n_bytes, (256, 256, 3)) == pytest.approx(expected, abs=0.05)
    assert bits_per_pixel(n_bytes, (256, 256)) == bits_per_pixel(n_bytes, (256, 256, 3))


def test_bits_per_pixel_rejects_what_is_not_an_image():
    with pytest.raises(ValueError, match="not be negative, got -1"):
        bits_per_pixel(-1, (4, 4))
    for shape in ((4,), (4, 0), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="`shape` must be"):
            bits_per_pixel(1, shape)


@pytest.mark.parametrize("measure", [mse, psnr, ssim])
def test_different_shapes_are_rejected_and_not_broadcast(measure):
    for convert in (torch.Tensor.numpy, lambda x: x):
        with pytest.raises(ValueError, match=r"got \(12, 12, 3\) and \(12, 12, 1\)"):
            measure(convert(torch.rand(12, 12, 3)), convert(torch.rand(12, 12, 1)))
    with pytest.raises(ValueError, match="not be empty"):
        measure(torch.rand(0, 12, 3), torch.rand(0, 12, 3))


@pytest.mark.parametrize("data_range", [0, -1, math.nan])
def test_a_range_must_be_positive(data_range):
    image = torch.rand(12, 12)
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="`data_range` must be positive"):
            measure(image, image, data_range)


def test_further_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`to` must be one of .*got 'db'"):
        convert_mse(0.1, "unit", "db")
    with pytest.raises(ValueError, match="`mse` must not be negative, got -0.1"):
        psnr_from_mse(-0.1)
    with pytest.raises(ValueError, match=r"images must be \(h, w\)"):
        ssim(torch.rand(12), torch.rand(12))
