"""Kali fractals: the known values, the formula's properties, and images that are the same on every machine."""

import hashlib

import numpy as np
import pytest
import torch

from siren_fastai.datasets.draws import Draws
from siren_fastai.datasets.kali import ACCUMULATE, kali
from siren_fastai.datasets.kali_images import KaliFilter, draw_kali, draw_kali_image, kali_images

KNOWN = {  # channel 0, row 0, and channel 2, row 3, of 4x4 pixels
    "none": ([0.509048, 0.588256, 0.141183, 0.084132], [0.070633, 1, 0.19189, 1]),
    "mean": ([0.618242, 0.244649, 0.386674, 0.400643], [0.706552, 1, 0.799999, 1]),
    "max": ([0.286993, 0.117651, 0.121184, 0.146616], [0.294613, 0.45389, 0.290629, 0.292399]),
    "min": ([1, 0.051315, 0.705913, 0.420661], [0.257732, 0.344563, 0.270108, 0.159236]),
    "submin": ([0.381758, 0.755351, 0.613326, 0.599357], [0.293448, 0, 0.200001, 0]),
    "alternate": ([0, 0.08002, 0.084725, 0.296928], [0, 0.984299, 0, 0]),
}
OPTIONS = dict(param=(0.5, 0.6, 0.7), iterations=5, scale=1.0, offset=(0.3, 0.2, 0.1))
GOLDEN = "6d29232643dcdd6439998d3af82f44c9e3ed896a7f43cc02f33f8cd8d75f5b8e"  # of the first 8, with 32x32 pixels


@pytest.mark.parametrize("mode", ACCUMULATE)
def test_the_modes_have_the_known_values(mode):
    image = kali((3, 4, 4), accumulate=mode, **OPTIONS)
    top, bottom = KNOWN[mode]
    assert image[0, 0].tolist() == pytest.approx(top, abs=1e-6)
    assert image[2, 3].tolist() == pytest.approx(bottom, abs=1e-6)


def reference(x, y, param, iterations, scale, offset, exponent, sine):
    """The mean at one position, number by number."""
    p = [x * scale + offset[0], y * scale + offset[1], 0 * scale + offset[2]]
    total = np.zeros(3)
    for i in range(iterations):
        p = [abs(v) / (sum(w * w for w in p) + 1e-6) for v in p]
        a = np.exp(-exponent * np.array(p)) if exponent else np.array(p)
        total += np.sin(sine * a) if sine else a
        if i < iterations - 1:
            p = [v - q for v, q in zip(p, param, strict=True)]
    return total / iterations


@pytest.mark.parametrize("exponent, sine", [(0.0, 0.0), (1.5, 0.0), (0.0, 2.0), (0.7, 1.2)])
def test_every_pixel_is_that_of_the_formula(exponent, sine):
    options = dict(param=(0.5, 0.2, 0.7), iterations=4, scale=1.4, offset=(-0.3, 0.2, 0.5))
    image = kali((3, 5, 7), accumulate="mean", exponent=exponent, sine=sine, **options)
    for row, y in enumerate(np.linspace(-1, 1, 5)):
        for column, x in enumerate(np.linspace(-1, 1, 7)):
            expected = reference(x, y, exponent=exponent, sine=sine, **options).clip(0, 1)
            assert image[:, row, column].tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_one_step_inverts_the_length():
    generator = torch.Generator().manual_seed(0)
    for x, y in (torch.rand(5, 2, generator=generator) * 2 + 1.2).tolist():
        image = kali((3, 1, 1), (0, 0, 0), 1, offset=(x, y, 1.1), scale=0.0)
        length = x * x + y * y + 1.1**2
        assert float((image**2).sum()) * length == pytest.approx(1, abs=1e-5)


def test_mixing_weighs_the_channels_and_antialiasing_averages_moved_grids():
    plain = kali((3, 8, 8), accumulate="mean", exponent=1.0, **OPTIONS)
    mix = [[0.2, 0.3, 0.1], [1, 0, 0], [0, 0.5, 0.5]]
    expected = torch.einsum("ck,khw->chw", torch.tensor(mix).double(), plain)
    torch.testing.assert_close(
        kali((3, 8, 8), accumulate="mean", exponent=1.0, mix=mix, **OPTIONS), expected, atol=1e-7, rtol=0
    )
    fine = kali((3, 8, 8), accumulate="mean", exponent=1.0, antialias=2, **OPTIONS)
    step = 2 / 7 / 2  # half a pixel
    moved = [
        kali((3, 8, 8), accumulate="mean", exponent=1.0, **{**OPTIONS, "offset": (0.3 + right, 0.2 + down, 0.1)})
        for down in (0, step)
        for right in (0, step)
    ]
    torch.testing.assert_close(fine, sum(moved) / 4)


@pytest.mark.numerics
def test_the_first_images_are_these_bytes_on_every_machine():
    images, groups = kali_images(8, size=32)
    assert groups.tolist() == list(range(8))
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == GOLDEN


def test_an_image_depends_on_its_index_and_the_seed_alone():
    images, _ = kali_images(6, seed=3, size=24)
    assert torch.equal(kali_images(2, seed=3, size=24)[0], images[:2])
    assert np.array_equal(draw_kali_image(5, 3, 24), images[5].numpy())
    assert not torch.equal(kali_images(2, seed=4, size=24)[0], images[:2])


def test_the_filter_keeps_neither_flat_nor_dark_nor_bright_images_nor_noise():
    generator = np.random.default_rng(0)
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 2, (3, 64, 1))
    keep = KaliFilter()
    assert keep.accepts(ramp)
    assert not keep.accepts(np.full((3, 64, 64), 90, np.uint8))
    assert not keep.accepts(np.stack([np.full((64, 64), v, np.uint8) for v in (0, 60, 200)]))  # flat, but coloured
    assert not keep.accepts(ramp // 12)
    assert not keep.accepts(ramp + 128)
    assert not keep.accepts(generator.integers(0, 200, (3, 64, 64)).astype(np.uint8))
    for image in kali_images(12, size=32)[0].double() / 255:
        assert 0.05 <= image.mean() <= 0.5
        assert image.var((1, 2), correction=0).mean().sqrt() >= 0.06


def test_random_options_are_in_their_ranges_and_the_old_offsets_on_request():
    drawn = [draw_kali(Draws(0, i)) for i in range(300)]
    old = [draw_kali(Draws(0, i), legacy_offset=True) for i in range(300)]
    assert {options["accumulate"] for options in drawn} == set(ACCUMULATE)
    assert all(0 < options["scale"] <= 2 and 1 <= options["iterations"] <= 37 for options in drawn)
    assert all(0 < p <= 1.2 for options in drawn for p in options["param"])
    offsets, old_offsets = ([x for options in some for x in options["offset"]] for some in (drawn, old))
    assert -2 < min(offsets) < -1.9 and 1.9 < max(offsets) <= 2
    assert -6 <= min(old_offsets) < -5.9 and -2.1 < max(old_offsets) < -2
    weights = np.array([options["mix"] for options in drawn])
    assert weights.mean() == pytest.approx(0.5 / 3**0.5, abs=0.02)
    assert weights.std() == pytest.approx((1 / 36 + 0.04) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(param=(1, 2)), "`param` and `offset` must hold 3 numbers, got 2 and 3"),
        (dict(accumulate="sum"), "`accumulate` must be one of"),
        (dict(iterations=0), "`iterations` must be an integer of 1 or more, got 0"),
        (dict(mix=[[1, 2]]), "`mix` must be 3x3"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        kali((3, 4, 4), **{**OPTIONS, **options})


def test_a_filter_that_nothing_passes_ends_in_an_error(monkeypatch):
    monkeypatch.setattr("siren_fastai.datasets.kali_images.ATTEMPTS", 3)
    with pytest.raises(ValueError, match="`keep` accepts none of 3 fractals"):
        kali_images(1, size=16, keep=KaliFilter(std=0.9))
