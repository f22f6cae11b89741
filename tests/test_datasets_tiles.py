"""Tiles: the same on every machine, in any order, various, and never flat."""

import hashlib

import numpy as np
import pytest
import torch

from siren_fastai.datasets.draws import Draws
from siren_fastai.datasets.pixel_art import Pen, hsv, noise, outline, quantize, ramp, shaded
from siren_fastai.datasets.tiles import DRAWN_AS, LEAST_STD, TILE_PAINTERS, TILE_VARIANTS, draw_tile, tile_images

GOLDEN = "8fbf976e8ebe1e2d20ee51eadca385b9359712596ea397585182ca0b8e3c807f"  # of the first 300


def test_the_first_tiles_are_these_bytes_on_every_machine():
    tiles, _ = tile_images(300)
    assert hashlib.sha256(tiles.numpy().tobytes()).hexdigest() == GOLDEN


def test_a_tile_depends_on_its_index_and_the_seed_alone():
    tiles, groups = tile_images(40, seed=3)
    assert torch.equal(tile_images(9, seed=3)[0], tiles[:9])
    for index in (37, 2, 20):
        assert np.array_equal(draw_tile(index, 3), tiles[index].permute(1, 2, 0).numpy())
    assert groups.tolist() == [i // TILE_VARIANTS for i in range(40)]
    assert not torch.equal(tile_images(9, seed=4)[0], tiles[:9])


def test_tiles_are_various_and_none_is_flat():
    tiles, groups = tile_images(600)
    flat = tiles.flatten(1)
    assert len(flat.unique(dim=0)) > 0.96 * len(flat)
    gray = (tiles.double() * torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]).sum(1)
    assert (gray.flatten(1).std(1, correction=0) > LEAST_STD - 1e-9).all()
    assert len(flat[groups == 0].unique(dim=0)) == TILE_VARIANTS
    colors = [len(tile.flatten(1).T.unique(dim=0)) for tile in tiles]
    assert 2 <= min(colors) and sorted(colors)[300] in range(4, 9)


@pytest.mark.parametrize("size", [8, 16, 48, 64])
def test_other_sizes_are_the_same_drawing(size):
    large, small = tile_images(12, size=32)[0], tile_images(12, size=size)[0]
    assert small.shape == (12, 3, size, size)
    if size == 64:
        assert torch.equal(large, small[:, :, ::2, ::2]) and torch.equal(large, small[:, :, 1::2, 1::2])


@pytest.mark.parametrize("name", TILE_PAINTERS)
@pytest.mark.parametrize("size", sorted(set(DRAWN_AS)))
def test_painters_use_the_colours_of_their_palette(name, size):
    for seed in range(40):
        canvas, palette = TILE_PAINTERS[name](Draws(seed, 0), Draws(seed, 1), Pen(size))
        assert canvas.shape == (size, size)
        assert 0 <= canvas.min() and canvas.max() <= len(palette) <= 10
        assert all(len(color) == 3 and 0 <= min(color) and max(color) <= 255 for color in palette)


@pytest.mark.parametrize("options", [dict(count=0), dict(count=2.0), dict(size=0), dict(seed=-1), dict(seed=0.5)])
def test_bad_arguments_are_named(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be an integer of"):
        tile_images(**{"count": 3, **options})


def test_draws_are_even_and_within_their_limits():
    draws = Draws(1, 2).below(7, (70000,))
    assert draws.min() == 0 and draws.max() == 6
    assert np.abs(np.bincount(draws) - 10000).max() < 450  # 5 standard deviations
    assert Draws(1, 2).between(-3, 3, (70000,)).tolist() == (draws - 3).tolist()
    assert Draws(1, 2).below(2**31) != Draws(1, 3).below(2**31)
    assert Draws(0).below(10**6) == 636961  # NumPy's PCG64 with the seed 0 gives random() = 0.6369616873214543


def test_colours_are_those_of_the_usual_formula():
    import colorsys

    for hue, saturation, value in [(0, 255, 255), (512, 100, 200), (1300, 255, 90), (77, 0, 13), (901, 30, 250)]:
        expected = [255 * x for x in colorsys.hsv_to_rgb(hue / 1536, saturation / 255, value / 255)]
        assert hsv(hue, saturation, value) == pytest.approx(expected, abs=2.5)
    assert [max(color) for color in ramp(100, 90, 20, 200, 4)] == [20, 80, 140, 200]


def test_shapes_have_the_areas_of_their_formulas():
    pen = Pen(32)  # a pixel is 2x2 units
    assert 4 * pen.disc(32, 32, 20).sum() == pytest.approx(np.pi * 400, rel=0.03)
    assert 4 * pen.ellipse(32, 32, 28, 10).sum() == pytest.approx(np.pi * 280, rel=0.03)
    assert 4 * pen.box(4, 8, 20, 60).sum() == 16 * 52
    assert 4 * pen.polygon((32, 4), (60, 60), (4, 60)).sum() == pytest.approx(56 * 56 / 2, rel=0.03)
    assert 4 * pen.line(10, 12, 50, 40, 8).sum() == pytest.approx(8 * np.hypot(40, 28) + np.pi * 16, rel=0.05)
    mask = pen.disc(32, 32, 20)
    assert not (outline(mask) & mask).any() and outline(pen.box(2, 2, 4, 4)).sum() == 4
    shades = shaded(pen, mask, 4)
    assert set(shades[mask].tolist()) == {0, 1, 2, 3} and shades[12, 12] > shades[22, 22]


def test_noise_can_be_repeated_and_dithering_keeps_the_mean():
    field = noise(Draws(5), 32, 4)
    assert 0 <= field.min() and field.max() <= 255
    assert np.abs(field[:, 0] - field[:, -1]).max() <= 32 and np.abs(np.diff(field, axis=0)).max() <= 32
    flat = np.full((32, 32), 96)
    assert quantize(flat, 4).mean() == 1.0
    assert quantize(flat, 4, 16).mean() == pytest.approx(96 / 256 * 4 - 0.5, abs=0.1)
    assert np.array_equal(quantize(np.arange(256)[None].repeat(256, 0), 8)[0], np.arange(256) // 32)
