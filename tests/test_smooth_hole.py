"""The roughness of a network between samples, and the callback that keeps it low in a hole."""

import numpy as np
import pytest
import torch
from fastai.torch_core import set_seed
from learners import pixel_learner, quiet
from torch import nn

from siren_fastai.callbacks.smooth_hole import SmoothHole
from siren_fastai.coords import grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.roughness import neighbours, roughness


class Plane(nn.Module):
    """y = positions @ slopes."""

    def __init__(self, slopes):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes))

    def forward(self, positions):
        return positions @ self.slopes


@pytest.mark.parametrize("d", [1, 2, 3])
def test_neighbours_are_one_step_further_along_each_axis(d):
    positions, spacing = torch.rand(5, d), torch.rand(d)
    moved = neighbours(positions, spacing)
    assert moved.shape == (d + 1, 5, d) and torch.equal(moved[0], positions)
    for axis in range(d):
        expected = positions.clone()
        expected[:, axis] += spacing[axis]
        torch.testing.assert_close(moved[axis + 1], expected)


def test_a_planes_roughness_is_the_length_of_its_slopes_and_its_square():
    slopes = [[3.0, 0.0], [0.0, 4.0]]
    values = Plane(slopes)(neighbours(torch.rand(7, 2), [1.0, 1.0]))
    assert roughness(values, "tv").item() == pytest.approx(5, rel=1e-5)
    assert roughness(values, "membrane").item() == pytest.approx(25, rel=1e-5)
    assert roughness(torch.zeros(3, 7, 2), "tv").item() == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        roughness(values, "total")


def test_each_network_of_a_stack_has_its_own_roughness():
    values = torch.rand(3, 9, 4, 3)
    each = torch.stack([roughness(values[:, :, i]) for i in range(4)])
    torch.testing.assert_close(roughness(values), each)


def noisy_learner(tmp_path, weight, hole=None, **options):
    set_seed(0, reproducible=True)
    values, mask = np.random.default_rng(0).random((16, 12, 3), dtype=np.float32), np.ones((16, 12), bool)
    mask[5:11, 4:9] = False
    dls = PixelDataLoaders.from_array(values, mask=mask, value_range=(0, 1), path=tmp_path, bs=64)
    cbs = SmoothHole(weight, hole=hole, **options)
    return quiet(siren_learner(dls, siren_model([2, 32, 32, 3]), cbs=cbs)), mask


@pytest.mark.parametrize("kind", ["tv", "membrane"])
def test_the_hole_is_smoother_with_the_callback_than_without(tmp_path, kind):
    found = {}
    for weight in (0.0, 0.3):
        learn, mask = noisy_learner(tmp_path, weight, kind=kind)
        learn.fit_fast(30, 3e-3)
        hole = learn.render().numpy()[5:11, 4:9]
        found[weight] = np.abs(np.diff(hole, axis=0)).mean() + np.abs(np.diff(hole, axis=1)).mean()
    assert found[0.3] < 0.6 * found[0.0]


def test_positions_lie_in_the_hole_and_at_its_rim(tmp_path):
    learn, mask = noisy_learner(tmp_path, 0.1, count=4000)
    learn("before_fit")
    positions = learn.smooth_hole._positions()
    assert positions.shape == (3, 4000, 2)
    inside = grid_coords((16, 12))[torch.from_numpy(~mask).flatten()]
    low, high, spacing = inside.amin(0), inside.amax(0), learn.smooth_hole.spacing
    torch.testing.assert_close(spacing, torch.tensor([2 / 16, 2 / 12]))
    assert (positions[0] >= low - spacing - 1e-6).all() and (positions[0] <= high + 1e-6).all()
    assert (positions[0].amin(0) < low).all() and (positions[1:].amax((0, 1)) > high).all()


def test_a_hole_of_ones_own_takes_the_place_of_the_masks(tmp_path):
    own = np.zeros((16, 12), bool)
    own[0, 0] = True
    learn, _ = noisy_learner(tmp_path, 0.1, hole=own)
    learn("before_fit")
    torch.testing.assert_close(learn.smooth_hole.hole_positions, grid_coords((16, 12))[:1])


def test_the_validation_loss_is_without_the_roughness(tmp_path):
    with_it, without = (noisy_learner(tmp_path, weight)[0] for weight in (100.0, 0.0))
    assert with_it.validate()[0] == pytest.approx(without.validate()[0])


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(weight=-1), "`weight` must be a finite number of 0 or more, got -1"),
        (dict(kind="l1"), "`kind` must be one of"),
        (dict(count=0), "`count` must be an integer of 1 or more"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SmoothHole(**options)


def test_data_without_a_hole_or_a_grid_is_named_as_a_fit_begins(tmp_path):
    for options, message in [({}, "needs data with a mask"), (dict(coords="line"), "needs samples on a regular grid")]:
        dims = (1, 8, 3) if options else (2, 8, 3)
        with pytest.raises(ValueError, match=message):
            pixel_learner(tmp_path, dims, cbs=SmoothHole(), **options).fit(1)
    hole = np.ones((3, 3), bool)
    with pytest.raises(ValueError, match="`hole` must have the signal's shape"):
        pixel_learner(tmp_path, (2, 8, 3), cbs=SmoothHole(hole=hole)).fit(1)


def test_a_mask_that_hides_nothing_leaves_nothing_to_smooth(tmp_path):
    mask = np.ones((6, 6), bool)
    dls = PixelDataLoaders.from_array(np.random.rand(6, 6, 1), mask=mask, path=tmp_path)
    quiet(siren_learner(dls, [2, 8, 1], cbs=SmoothHole())).fit(1)
