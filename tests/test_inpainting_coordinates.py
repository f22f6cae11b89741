"""Filling by a coordinate network: windows around the holes, the test that chooses omega_0, and what is promised."""

import numpy as np
import pytest
import torch
from fastcore.docments import docments

from siren_fastai.inpainting import hole_fit
from siren_fastai.inpainting.baselines import harmonic_fill, mean_fill
from siren_fastai.inpainting.coordinates import OMEGAS, _judged, fill_with_siren, siren_filling
from siren_fastai.inpainting.hole_fit import HoleFit
from siren_fastai.inpainting.windows import hidden_as_holes, hole_windows
from siren_fastai.quality import psnr

QUICK = dict(max_steps=20, progress=False)


def waves(height=40, width=48, channels=3):
    """A smooth image (height, width, channels) in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(4 * y + c) * torch.cos(3 * x - c) for c in range(channels)], -1)


def with_hole(height=40, width=48, top=14, left=16, side=10):
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[top : top + side, left : left + side] = False
    return mask


def hole_psnr(filled, truth, mask):
    return psnr(filled[~mask][None], truth[~mask][None])


def test_windows_hold_every_hole_once_and_the_known_pixels_near_it():
    known = np.random.default_rng(0).random((60, 70)) < 0.998
    known[20:30, 5:9] = False
    margin, holes = 4, np.zeros(known.shape, int)
    windows = hole_windows(~known, known, margin)
    for window in windows:
        holes[window.rows, window.columns] += window.hole
        for y, x in np.argwhere(window.near)[::7]:
            assert window.known[y, x]
            assert np.hypot(*(np.argwhere(window.hole) - (y, x)).T).min() <= margin
    assert (holes == ~known).all() and len(windows) > 1
    assert windows[0].hole.sum() == max(window.hole.sum() for window in windows)


def test_holes_near_each_other_share_a_window():
    known = np.ones((40, 60), bool)
    known[10, [10, 18, 40]] = False
    assert [int(window.hole.sum()) for window in hole_windows(~known, known, 4)] == [2, 1]


@pytest.mark.parametrize("place", [(14, 16), (0, 0), (30, 38), (15, 0)])
def test_known_pixels_of_the_holes_form_are_hidden_next_to_it(place):
    known = with_hole(top=place[0], left=place[1]).numpy()
    (window,) = hole_windows(~known, known, 4)
    hidden = hidden_as_holes(known, window, 4)
    assert hidden.sum() == 100 and not (hidden & ~known).any()
    rows, columns = np.nonzero(hidden)
    assert np.ptp(rows) == np.ptp(columns) == 9


def test_of_a_large_hole_the_deepest_part_is_tested():
    known = np.ones((300, 400), bool)
    known[10:14, :] = False
    known[5:45, 250:290] = False
    (window,) = hole_windows(~known, known, 16)
    hidden = hidden_as_holes(known, window, 16)
    rows, columns = np.nonzero(hidden)
    assert hidden.sum() == 40 * 40 + 4 * 56 and np.ptp(columns) == 95 and np.ptp(rows) == 39


def test_a_hole_that_leaves_no_room_hides_what_there_is_or_nothing():
    known = np.zeros((20, 20), bool)
    known[:, :6] = True
    (window,) = hole_windows(~known, known, 3)
    hidden = hidden_as_holes(known, window, 3)
    assert 0 < hidden.sum() <= 60 and not (hidden & ~known).any()
    known[:] = False
    known[0, 0] = True
    (window,) = hole_windows(~known, known, 3)
    assert hidden_as_holes(known, window, 3) is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_known_pixels_stay_bit_for_bit_and_nothing_is_read_from_the_hole(channels, dtype):
    truth, mask = waves(channels=channels).to(dtype), with_hole()
    filled = fill_with_siren(truth, mask, **QUICK)
    assert filled.shape == truth.shape and filled.dtype == dtype and torch.equal(filled[mask], truth[mask])
    assert 0 <= filled.min() <= filled.max() <= 1
    hidden = truth.masked_fill(~mask[..., None], float("nan"))
    assert torch.equal(fill_with_siren(hidden, mask, **QUICK), filled)


def test_a_smooth_image_is_continued_into_its_hole():
    truth, mask = waves(), with_hole()
    filling = siren_filling(truth, mask, progress=False)
    assert hole_psnr(filling.image, truth, mask) > 10 + hole_psnr(mean_fill(truth, mask), truth, mask)
    assert filling.held_out.keys() == set(OMEGAS) and filling.omega_0 == max(OMEGAS, key=filling.held_out.get)
    assert filling.steps > 0 and filling.seconds > 0 and 0 <= filling.share <= 1


@pytest.mark.parametrize("scale", [-1.0, 0.4, 2.0])
def test_the_share_is_the_least_squares_one_from_0_to_1(scale):
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, 0.1, 500)
    missing = scale * drawn + rng.normal(0, 0.02, 500)
    db, share = _judged(*(float(x.sum()) for x in (drawn**2, drawn * missing, missing**2)), 500)
    errors = {s: np.mean((s * drawn - missing) ** 2) for s in np.linspace(0, 1, 1001)}
    best = min(errors, key=errors.get)
    assert share == pytest.approx(best, abs=1e-3) and db == pytest.approx(-10 * np.log10(errors[best]), abs=1e-3)


def test_a_network_that_diverged_has_no_share():
    assert _judged(float("nan"), float("nan"), 5.0, 500) == (pytest.approx(20.0), 0.0)


def test_where_the_smoothest_surface_is_right_it_is_taken():
    y, x = torch.meshgrid(torch.linspace(0.1, 0.5, 40), torch.linspace(0, 0.4, 48), indexing="ij")
    image, mask = (y + x)[..., None], with_hole()
    filling = siren_filling(image, mask, **QUICK)
    assert filling.share < 0.1
    torch.testing.assert_close(filling.image, harmonic_fill(image, mask), atol=5e-3, rtol=0)


def test_the_values_at_the_rim_are_met():
    image = waves() + 0.3 * (torch.arange(48) > 24)[:, None]
    image, mask = image / image.max(), with_hole()
    filled = fill_with_siren(image, mask, omega_0=3.0, **QUICK)
    inside, outside = filled[14:24, 16], filled[14:24, 15]
    assert (inside - outside).abs().max() < 0.1


def test_several_holes_at_borders_are_filled_each_from_its_surroundings():
    truth, mask = waves(60, 90), with_hole(60, 90, 0, 0, 7)
    mask[30:37, 80:] = False
    mask[59, 40] = False
    filled = fill_with_siren(truth, mask, omega_0=5.0, progress=False, max_steps=60)
    assert torch.equal(filled[mask], truth[mask])
    assert hole_psnr(filled, truth, mask) > 6 + hole_psnr(mean_fill(truth, mask), truth, mask)


@pytest.mark.parametrize("mask", [torch.rand(20, 24, generator=torch.Generator().manual_seed(0)) < 0.3, "corner"])
def test_few_known_pixels_are_enough(mask):
    truth = waves(20, 24)
    if isinstance(mask, str):
        mask = torch.zeros(20, 24, dtype=torch.bool)
        mask[0, 0] = True
    filled = fill_with_siren(truth, mask, **QUICK)
    assert filled.isfinite().all() and torch.equal(filled[mask], truth[mask])


def test_the_same_seed_gives_the_same_image_and_leaves_the_random_numbers():
    truth, mask = waves(), with_hole()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = fill_with_siren(truth, mask, seed=3, omega_0=5.0, **QUICK)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(fill_with_siren(truth, mask, seed=3, omega_0=5.0, **QUICK), first)
    assert not torch.equal(fill_with_siren(truth, mask, seed=4, omega_0=5.0, **QUICK), first)


def test_progress_rises_to_one_over_all_fits():
    shares = []
    siren_filling(waves(), with_hole(), max_steps=5, progress=shares.append)
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == pytest.approx(1)


def test_first_frequencies_are_in_pixels_whatever_the_window():
    sizes = {}
    for height, width in ((40, 48), (80, 60)):
        known = with_hole(height, width).numpy()
        (window,) = hole_windows(~known, known, 100)
        layer = HoleFit(window, (5.0,))._network(torch.rand(9, 3), (height, width, 3), 5.0)[0]
        frequencies = layer.omega_0 * layer.linear.weight.detach() * 2 / torch.tensor([height, width])  # rad a pixel
        sizes[height] = frequencies.norm(dim=1).max() * hole_fit.UNIT
    assert all(4 < size <= 5.001 for size in sizes.values())


def test_more_pixels_take_wider_networks_and_more_steps():
    fits = []
    for side in (20, 200):
        known = with_hole(side * 2, side * 2, side // 2, side // 2, side).numpy()
        fits.append(HoleFit(hole_windows(~known, known, side // 2)[0], OMEGAS))
    assert fits[0].width == 64 < fits[1].width <= 128 and fits[0].steps < fits[1].steps <= 600
    assert HoleFit(fits[1].window, OMEGAS, max_steps=7).steps == 7


@pytest.mark.parametrize(
    "change, error, message",
    [
        (dict(omega_0=0), ValueError, "`omega_0` must be finite and above 0, got 0"),
        (dict(tv=-1), ValueError, "`tv` must be finite and 0 or more, got -1"),
        (dict(max_steps=0), ValueError, "`max_steps` must be 1 or more, got 0"),
        (dict(image=waves() * 2), ValueError, r"`image` must be in \[0, 1\] where it is known"),
        (dict(image=waves()[..., 0]), ValueError, "`image` must be"),
        (dict(image=(waves() * 255).byte()), TypeError, "`image` must hold floats"),
        (dict(mask=with_hole()[1:]), ValueError, "the mask has 39 x 48 pixels, but the image 40 x 48"),
        (dict(mask=torch.ones(40, 48, dtype=torch.bool)), ValueError, "the mask is empty"),
        (dict(mask=torch.zeros(40, 48, dtype=torch.bool)), ValueError, "the hole covers the whole image"),
    ],
)
def test_bad_arguments_are_named_before_any_work(change, error, message):
    with pytest.raises(error, match=message):
        siren_filling(**{"image": waves(), "mask": with_hole(), **change})


def test_every_public_parameter_is_documented():
    for function in (siren_filling, fill_with_siren, HoleFit.run, hole_windows, hidden_as_holes):
        missing = [name for name, text in docments(function).items() if not text and name not in ("self", "return")]
        assert not missing or missing == ["kwargs"], function
