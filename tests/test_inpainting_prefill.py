"""Prefills: known pixels stay, the mean is that of known pixels, and the smooth one is close to Laplace's surface."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from siren_fastai.inpainting.prefill import PREFILLS, mean_prefill, smooth_prefill

pytestmark = pytest.mark.numerics


def holes(n=2, size=(24, 31)):
    mask = torch.ones(n, 1, *size, dtype=torch.bool)
    mask[0, :, 3:14, 4:20], mask[1:, :, 10:, 22:] = False, False
    return mask


def membrane(plane, known):
    """Laplace's equation in the hole of an array (h, w), solved exactly: each pixel is the mean of its neighbours."""
    number = -np.ones(known.shape, int)
    number[~known] = np.arange((~known).sum())
    matrix, right = sparse.lil_matrix((number.max() + 1,) * 2), np.zeros(number.max() + 1)
    for (y, x), i in np.ndenumerate(number):
        if i < 0:
            continue
        for at in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= at[0] < known.shape[0] and 0 <= at[1] < known.shape[1]:
                matrix[i, i] += 1
                if number[at] >= 0:
                    matrix[i, number[at]] -= 1
                else:
                    right[i] += plane[at]
    filled = plane.copy()
    filled[~known] = spsolve(matrix.tocsr(), right)
    return filled


@pytest.mark.parametrize("fill", PREFILLS.values(), ids=PREFILLS)
def test_known_pixels_stay_and_the_hole_has_no_influence(fill):
    image, known = torch.rand(2, 3, 24, 31), holes()
    filled = fill(image, known)
    assert torch.equal(filled.masked_fill(~known, 0), image.masked_fill(~known, 0))
    assert torch.equal(fill(image.masked_fill(~known, torch.nan), known), filled) and filled.isfinite().all()
    assert torch.equal(fill(image, torch.ones_like(known)), image)
    assert not fill(image, torch.zeros_like(known)).any()


def test_the_mean_is_of_the_known_pixels_of_each_image_and_channel():
    image, known = torch.rand(2, 3, 24, 31), holes()
    filled = mean_prefill(image, known)
    for i in range(2):
        for channel in range(3):
            plane, hole = image[i, channel], ~known[i, 0]
            torch.testing.assert_close(filled[i, channel][hole], plane[~hole].mean().expand(hole.sum()))


def test_the_smooth_prefill_is_near_the_exact_solution_of_laplaces_equation():
    rng, known = np.random.default_rng(0), holes()
    coarse = torch.from_numpy(rng.random((2, 1, 5, 6)).astype(np.float32))
    image = torch.nn.functional.interpolate(coarse, size=(24, 31), mode="bicubic").clamp(0, 1)
    filled = smooth_prefill(image, known)
    for i in range(2):
        hole = ~known[i, 0].numpy()
        exact = membrane(image[i, 0].numpy().astype(np.float64), known[i, 0].numpy())[hole]
        error, mean = filled[i, 0].numpy()[hole] - exact, mean_prefill(image, known)[i, 0].numpy()[hole] - exact
        assert np.sqrt((error**2).mean()) < min(0.05, 0.4 * np.sqrt((mean**2).mean()))


def test_the_smooth_prefill_of_a_constant_is_the_constant_at_any_size():
    for size in ((1, 1), (1, 7), (5, 1), (13, 6), (32, 32)):
        known = torch.rand(3, 1, *size) < 0.3
        known[:, :, 0, 0] = True
        image = torch.full((3, 2, *size), 0.7)
        torch.testing.assert_close(smooth_prefill(image, known), image)
