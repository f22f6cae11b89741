"""Errors per pixel and per frequency: signs and shapes, Parseval, single waves."""

import math

import numpy as np
import pytest
import torch

from siren_fastai.error_maps import absolute_error, frequency_error, signed_error
from siren_fastai.quality import mse


def pair(*shape):
    """A prediction that leaves [0, 1] here and there, and its target."""
    target = torch.rand(*shape)
    return target + 0.1 * torch.randn(*shape), target


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


def test_8_bit_values_do_not_wrap_around():
    pred, target = np.full((8, 8), 250, dtype=np.uint8), np.full((8, 8), 5, dtype=np.uint8)
    assert signed_error(target, pred).max() == -245
    assert signed_error(torch.from_numpy(target), torch.from_numpy(pred)).max() == -245


def test_nan_stays_in_its_pixel_and_reaches_all_frequencies():
    pred, target = pair(12, 12, 3)
    pred[3, 4, 1] = math.nan
    for a, b in ((pred, target), (target, pred)):
        assert np.isnan(frequency_error(a, b)).all()
        assert absolute_error(a, b).isnan().sum() == 1


@pytest.mark.parametrize("measure", [signed_error, absolute_error, frequency_error])
def test_different_shapes_are_rejected_and_not_broadcast(measure):
    for convert in (torch.Tensor.numpy, lambda x: x):
        with pytest.raises(ValueError, match=r"got \(12, 12, 3\) and \(12, 12, 1\)"):
            measure(convert(torch.rand(12, 12, 3)), convert(torch.rand(12, 12, 1)))
    with pytest.raises(ValueError, match="not be empty"):
        measure(torch.rand(0, 12, 3), torch.rand(0, 12, 3))


def test_no_bands_are_rejected():
    with pytest.raises(ValueError, match="`bands` must be at least 1, got 0"):
        frequency_error(torch.rand(12, 12), torch.rand(12, 12), 0)
