"""Rendering: equal to one forward pass, at any size, region and chunk; the model is left as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from siren_fastai.coords import grid_coords
from siren_fastai.models.siren import siren_model
from siren_fastai.render import render

pytestmark = pytest.mark.numerics


@pytest.mark.parametrize("size", [(7,), (5, 9), (3, 4, 5)])
@pytest.mark.parametrize("grid", ["centers", "corners", "left"])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_rendering_equals_one_forward_pass(size, grid, chunk):
    model = siren_model([len(size), 8, 3])
    expected = model(grid_coords(size, grid)).view(*size, 3)
    torch.testing.assert_close(render(model, size, grid=grid, clamp=None, chunk=chunk), expected)


@pytest.mark.parametrize("size", [np.int64(6), (np.int32(6), 6), np.array([6, 6]), torch.Size([6, 6])])
def test_integers_of_any_type_are_sizes(size):
    model = siren_model([2, 8, 3])
    assert torch.equal(render(model, size), render(model, (6, 6)))


@pytest.mark.parametrize(
    "options, expected",
    [
        (dict(size=6), (6, 6)),
        (dict(size=6, shape=(20, 30)), (6, 9)),
        (dict(shape=(20, 30)), (20, 30)),
        (dict(size=6, shape=(20, 30), region=(-1, -1, 0, 1)), (6, 18)),
        (dict(size=6, region=(-1, -1, 0, 1)), (6, 12)),
        (dict(size=(4, 5), shape=(20, 30)), (4, 5)),
    ],
)
def test_an_integer_keeps_the_proportions_of_the_signal_or_of_a_square(options, expected):
    assert render(siren_model([2, 8, 3]), **options).shape == (*expected, 3)


def test_without_a_size_and_a_shape_rendering_says_what_it_needs():
    with pytest.raises(ValueError, match="`size` must be.*where there is no `shape`"):
        render(siren_model([2, 8, 3]))


def test_a_region_is_the_part_of_a_finer_image():
    model = siren_model([2, 8, 1])
    whole = render(model, 32)
    torch.testing.assert_close(render(model, (16, 8), region=(-1, 0, 0, 0.5)), whole[:16, 16:24], atol=1e-5, rtol=0)


def test_values_are_clamped_and_finite_by_default():
    model = siren_model([2, 8, 3])
    with torch.no_grad():
        model[-1].bias.fill_(5.0)
    assert (render(model, 8) == 1).all() and render(model, 8, clamp=None).min() > 3


def test_the_model_keeps_its_mode_and_its_gradients():
    model = nn.Sequential(siren_model([2, 8, 3]), nn.Dropout(0.5)).train()
    picture = render(model, 8)
    assert model.training and torch.equal(picture, render(model, 8)) and not picture.requires_grad


@pytest.mark.parametrize(
    "size, region, message",
    [
        (0, None, "`size` must be an integer"),
        ((4.0, 4), None, "`size` must be an integer"),
        (4.5, None, "`size` must be an integer"),
        (True, None, "`size` must be an integer"),
        (None, None, "`size` must be an integer"),
        (4, (0, 0, 1), "`region`"),
        (4, (0, 0, 0, 1), "`region`"),
    ],
)
def test_bad_sizes_and_regions_are_named(size, region, message):
    with pytest.raises(ValueError, match=message):
        render(siren_model([2, 8, 3]), size, region)
