"""Denoisers: less noise, the same picture each time, and definitions that a second implementation confirms."""

import numpy as np
import pytest
import torch
from sirn_files import encoded

from siren_fastai.names import DENOISERS
from siren_fastai.sirn.denoise import denoise
from siren_fastai.sirn.format import read, write

MODERATE = {"median": 1.0, "bilateral": 0.1, "tv": 0.1, "nlm": 0.1}


def clean():
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 20), indexing="ij")
    return torch.stack([0.2 + 0.6 * (x > 0.5), 0.5 + 0.3 * y, 0.4 + 0.2 * x], dim=-1)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("method", DENOISERS)
def test_noise_becomes_less(method, channels):
    target = clean()[..., :channels]
    noisy = (target + 0.08 * torch.randn_like(target)).clamp(0, 1)
    before = noisy.clone()
    smooth = denoise(noisy, method, MODERATE[method])
    assert torch.equal(noisy, before) and smooth.shape == target.shape and smooth.dtype == torch.float32
    assert (smooth - target).square().mean() < 0.8 * (noisy - target).square().mean()
    assert torch.equal(smooth, denoise(noisy, method, MODERATE[method]))


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (2, 1, 3), (1, 7, 2), (5, 4, 4)])
def test_pictures_of_any_size_keep_their_shape_and_constants_their_value(method, shape):
    flat = denoise(torch.full(shape, 0.25), method, MODERATE[method])
    assert flat.shape == shape
    torch.testing.assert_close(flat, torch.full(shape, 0.25), atol=1e-6, rtol=0)
    rough = denoise(torch.rand(shape), method, MODERATE[method])
    assert rough.shape == shape and 0 <= rough.min() <= rough.max() <= 1


@pytest.mark.parametrize("strength, radius", [(0.3, 1), (1.4, 1), (1.5, 2), (3.0, 3)])
def test_the_median_is_that_of_a_mirrored_square(strength, radius):
    image = torch.rand(7, 6, 2)
    padded = np.pad(image.numpy(), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    np.testing.assert_array_equal(denoise(image, "median", strength).numpy(), np.median(windows, axis=(3, 4)))


def test_a_stronger_setting_smooths_more():
    noisy = torch.rand(16, 16, 3)
    for method, weak, strong in [("median", 1, 3), ("bilateral", 0.05, 1), ("tv", 0.02, 1), ("nlm", 0.05, 1)]:
        assert denoise(noisy, method, strong).var() < denoise(noisy, method, weak).var()


@pytest.mark.parametrize(
    "method, strength, message",
    [
        ("gaussian", 1.0, "`method` must be one of"),
        ("median", 0.0, "`strength` of median must be from 0.0001 to 8, got 0.0"),
        ("bilateral", 2.0, "`strength` of bilateral"),
        ("tv", float("nan"), "`strength` of tv"),
        ("nlm", -1.0, "`strength` of nlm"),
    ],
)
def test_unknown_methods_and_strengths_are_refused(method, strength, message):
    with pytest.raises(ValueError, match=message):
        denoise(torch.rand(4, 4, 3), method, strength)


def test_only_pictures_are_taken():
    with pytest.raises(ValueError, match=r"`image` must be \(h, w, c\)"):
        denoise(torch.rand(4, 4), "median", 1.0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (2, 2, 1), (2, 9, 3), (9, 2, 1), (3, 20, 2), (17, 16, 1)])
@pytest.mark.parametrize("r", [1, 3, 8])
def test_the_median_mirrors_at_the_border_however_small_the_image(shape, r):
    pixels = np.random.default_rng(0).random(shape).astype(np.float32)
    mirrored = np.pad(pixels, ((r, r), (r, r), (0, 0)), "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, (2 * r + 1, 2 * r + 1), (0, 1))
    np.testing.assert_array_equal(denoise(torch.from_numpy(pixels), "median", r), np.median(windows, (-2, -1)))


@pytest.mark.parametrize("method", DENOISERS)
def test_the_weakest_strength_survives_being_stored(method):
    data = write(encoded(denoise=(method, 0.0001)))
    assert read(data).denoise.strength == np.float32(0.0001)
