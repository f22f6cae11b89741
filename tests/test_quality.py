"""Numbers against their formulas and scikit-image; units and frequencies against identities."""

import math

import numpy as np
import pytest
import torch
from skimage import metrics

from siren_fastai import quality
from siren_fastai.quality import (
    absolute_error,
    bits_per_pixel,
    convert_mse,
    frequency_error,
    mse,
    mse_from_psnr,
    psnr,
    psnr_from_mse,
    signed_error,
    ssim,
)


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


def test_pictures_longer_than_a_chunk_are_summed_whole(monkeypatch):
    pred, target = pair(13, 7, 3)
    whole = mse(pred, target), psnr(pred, target)
    monkeypatch.setattr(quality, "CHUNK", 10)
    assert (mse(pred, target), psnr(pred, target)) == pytest.approx(whole, rel=1e-12)


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
    assert signed_error(target, pred).max() == -245
    assert signed_error(torch.from_numpy(target), torch.from_numpy(pred)).max() == -245
    expected = metrics.peak_signal_noise_ratio(target, pred, data_range=255)
    assert psnr(pred, target, data_range=255) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="got 5 to 5: say `data_range=255`"):
        psnr(pred, target)


def test_equal_pictures_are_infinitely_good():
    image = torch.rand(12, 12, 3)
    assert mse(image, image) == 0 and psnr(image, image) == math.inf
    for gaussian in (False, True):
        assert ssim(image, image, gaussian=gaussian) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("clamp", [True, False])
def test_not_a_number_is_told_and_does_not_crash(clamp):
    pred, target = pair(12, 12, 3)
    pred[3, 4, 1] = math.nan
    for a, b in ((pred, target), (target, pred)):
        assert math.isnan(mse(a, b)) and math.isnan(psnr(a, b, clamp=clamp)) and math.isnan(ssim(a, b))
        assert np.isnan(frequency_error(a, b)).all()
        assert absolute_error(a, b).isnan().sum() == 1


def test_infinite_predictions_are_infinitely_bad_unless_clamped():
    pred, target = pair(12, 12, 3)
    pred[3, 4, 1] = math.inf
    assert psnr(pred, target, clamp=False) == -math.inf and math.isfinite(psnr(pred, target))
    assert math.isnan(ssim(pred, target))


def test_psnr_and_mse_convert_into_each_other():
    assert psnr_from_mse(1e-3) == pytest.approx(30) and psnr_from_mse(1e-3, 255) == pytest.approx(
        30 + 48.1308, abs=1e-4
    )
    assert mse_from_psnr(30) == pytest.approx(1e-3) and mse_from_psnr(30, 2) == pytest.approx(4e-3)
    assert (
        psnr_from_mse(0.0) == math.inf and psnr_from_mse(math.inf) == -math.inf and math.isnan(psnr_from_mse(math.nan))
    )
    assert mse_from_psnr(math.inf) == 0
    errors = np.array([0.0, 1e-4, 0.5, np.nan])
    np.testing.assert_allclose(mse_from_psnr(psnr_from_mse(errors)), errors, rtol=1e-12)
    assert isinstance(psnr_from_mse(torch.tensor(0.1)), float)


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


@pytest.mark.parametrize("strip", [1, 5, 26])
@pytest.mark.parametrize("gaussian", [False, True])
def test_ssim_in_strips_is_that_of_the_whole_picture(monkeypatch, strip, gaussian):
    pred, target = pair(32, 15, 3)
    whole = ssim(pred, target, gaussian=gaussian)
    monkeypatch.setattr(quality, "STRIP", strip)
    assert ssim(pred, target, gaussian=gaussian) == pytest.approx(whole, abs=1e-12)


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
def test_ssim_refuses_pictures_smaller_than_its_window(gaussian, side):
    image = torch.rand(side, side, 3)
    assert ssim(image, image, gaussian=gaussian) == pytest.approx(1)
    with pytest.raises(ValueError, match=f"at least {side}x{side} pixels, got {side - 1}x30"):
        ssim(torch.rand(side - 1, 30, 3), torch.rand(side - 1, 30, 3), gaussian=gaussian)


def test_ssim_and_psnr_refuse_data_on_minus_one_to_one_unless_told():
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


def test_error_maps_have_signs_shapes_and_the_type_of_their_arguments():
    target = torch.full((4, 5, 3), 0.5)
    pred = target.clone()
    pred[0, 0, 0], pred[1, 1, 1] = 0.75, 0.25
    assert signed_error(pred, target)[0, 0, 0] == 0.25 and signed_error(pred, target)[1, 1, 1] == -0.25
    assert absolute_error(pred, target)[1, 1, 1] == 0.25 and absolute_error(pred, target).sum() == 0.5
    maps = signed_error(pred.numpy(), target), absolute_error(pred.numpy(), target.numpy())
    assert all(isinstance(m, np.ndarray) and m.dtype == np.float64 and m.shape == (4, 5, 3) for m in maps)
    assert signed_error(pred.half().requires_grad_(), target).dtype == torch.float32
    assert not signed_error(pred.half().requires_grad_(), target).requires_grad
    assert absolute_error(pred[..., 0], target[..., 0]).shape == (4, 5)


@pytest.mark.parametrize("shape", [(16, 16, 3), (9, 14), (14, 9, 1), (1, 8), (8, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("bands", [1, 8])
def test_bands_of_frequencies_sum_to_the_mean_squared_error(shape, bands):
    pred, target = pair(*shape)
    result = frequency_error(pred, target, bands)
    assert result.shape == (bands,) and (result >= 0).all()
    assert result.sum() == pytest.approx(mse(pred, target), rel=1e-9)


@pytest.mark.parametrize("shape", [(12, 15), (7, 10)])
def test_bands_equal_those_of_the_full_transform(shape):
    pred, target = pair(*shape)
    power = np.abs(np.fft.fft2((pred.double() - target.double()).numpy()) / math.prod(shape)) ** 2
    radius = np.sqrt(np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.fftfreq(shape[1])[None] ** 2)
    edges = [*np.arange(5) / 10, np.inf]
    expected = [power[(low <= radius) & (radius < high)].sum() for low, high in zip(edges[:-1], edges[1:], strict=True)]
    np.testing.assert_allclose(frequency_error(pred, target, bands=5), expected, rtol=1e-9, atol=1e-15)


def test_a_wave_is_found_in_its_band_and_an_offset_in_the_first():
    y, x = np.mgrid[:32, :32]
    nothing = np.zeros((32, 32))
    assert np.argmax(frequency_error(nothing + 0.3, nothing)) == 0
    for cycles, band in ((1, 0), (5, 2), (9, 4), (13, 6), (16, 7)):
        for axis in (x, y):
            result = frequency_error(np.cos(2 * np.pi * cycles * axis / 32), nothing)
            assert result[band] == pytest.approx(result.sum()) and result.sum() > 0.4
    assert frequency_error((-1.0) ** (x + y), nothing)[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    "n_bytes, expected", [(176_396, 21.5), (176_396 / 2, 10.8), (5_736, 0.70), (793_604, 96.9), (0, 0.0)]
)
def test_bits_per_pixel_of_the_notes_networks(n_bytes, expected):
    assert bits_per_pixel(n_bytes, (256, 256, 3)) == pytest.approx(expected, abs=0.05)
    assert bits_per_pixel(n_bytes, (256, 256)) == bits_per_pixel(n_bytes, (256, 256, 3))


def test_bits_per_pixel_refuses_what_is_no_picture():
    with pytest.raises(ValueError, match="not be negative, got -1"):
        bits_per_pixel(-1, (4, 4))
    for shape in ((4,), (4, 0), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="`shape` must be"):
            bits_per_pixel(1, shape)


@pytest.mark.parametrize("measure", [mse, psnr, ssim, signed_error, absolute_error, frequency_error])
def test_different_shapes_are_refused_and_not_broadcast(measure):
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
    image = torch.rand(12, 12)
    with pytest.raises(ValueError, match="`bands` must be at least 1, got 0"):
        frequency_error(image, image, 0)
    with pytest.raises(ValueError, match="`to` must be one of .*got 'db'"):
        convert_mse(0.1, "unit", "db")
    with pytest.raises(ValueError, match="`mse` must not be negative, got -0.1"):
        psnr_from_mse(-0.1)
    with pytest.raises(ValueError, match=r"pictures must be \(h, w\)"):
        ssim(torch.rand(12), torch.rand(12))
