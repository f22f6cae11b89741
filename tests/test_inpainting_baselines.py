"""Classic fills: each against its formula, known pixels bit for bit, and nothing read from the hole."""

import numpy as np
import pytest
import torch
from skimage.restoration import inpaint_biharmonic

from siren_fastai.inpainting import baselines
from siren_fastai.inpainting.baselines import BASELINES, biharmonic_fill, harmonic_fill, mean_fill, nearest_fill


def example(height=14, width=17, channels=3, seed=0):
    """A random image and a mask with holes inside, at the border and in a corner."""
    image = torch.rand(height, width, channels, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[3:7, 4:10] = False
    mask[9:, 12:] = False
    mask[0, :5] = False
    return image, mask


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_known_pixels_stay_bit_for_bit_and_nothing_is_read_from_the_hole(name, dtype):
    image, mask = example()
    image = image.to(dtype)
    filled = BASELINES[name](image, mask)
    assert filled.dtype == dtype and filled.isfinite().all() and torch.equal(filled[mask], image[mask])
    hidden = torch.where(mask[..., None], image, torch.full_like(image, float("nan")))
    assert torch.equal(BASELINES[name](hidden, mask), filled)
    assert filled.min() >= image[mask].min() - 1e-6 and filled.max() <= image[mask].max() + 1e-6


def test_the_mean_is_that_of_the_known_pixels():
    image, mask = example()
    hole = mean_fill(image, mask)[~mask]
    np.testing.assert_allclose(hole, image[mask].double().mean(0).expand_as(hole), rtol=1e-5)


def test_the_nearest_known_pixel_gives_the_colour():
    image, mask = example()
    filled, known = nearest_fill(image, mask), mask.nonzero()
    for y, x in (~mask).nonzero().tolist():
        distances = (known - torch.tensor([y, x])).square().sum(1)
        nearest = known[distances == distances.min()]
        assert any(torch.equal(filled[y, x], image[i, j]) for i, j in nearest.tolist())


@pytest.mark.parametrize("direct", [0, baselines.DIRECT])
def test_in_the_harmonic_fill_every_pixel_is_the_mean_of_its_neighbours(monkeypatch, direct):
    monkeypatch.setattr(baselines, "DIRECT", direct)
    image, mask = example()
    filled = harmonic_fill(image, mask)
    for y, x in (~mask).nonzero().tolist():
        around = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        inside = [filled[i, j] for i, j in around if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]]
        np.testing.assert_allclose(filled[y, x], torch.stack(inside).mean(0), atol=1e-4)


def test_a_slope_is_continued_exactly_by_the_smooth_fills():
    y, x = torch.meshgrid(torch.linspace(0, 0.5, 14), torch.linspace(0, 0.5, 17), indexing="ij")
    image, mask = (y + x)[..., None], torch.ones(14, 17, dtype=torch.bool)
    mask[4:9, 5:12] = False
    for fill in (harmonic_fill, biharmonic_fill):
        np.testing.assert_allclose(fill(image, mask), image, atol=1e-5)


def test_the_biharmonic_fill_is_that_of_scikit_image():
    image, mask = example()
    blank = np.where(mask[..., None], image, 0).astype(np.float64)
    expected = inpaint_biharmonic(blank, ~mask.numpy(), channel_axis=-1)
    np.testing.assert_allclose(biharmonic_fill(image, mask), expected, atol=1e-6)


@pytest.mark.parametrize("fill", BASELINES.values())
def test_masks_and_images_that_do_not_belong_together_are_named(fill):
    image, mask = example()
    with pytest.raises(ValueError, match="the mask has 13 x 17 pixels, but the image 14 x 17"):
        fill(image, mask[:-1])
    with pytest.raises(ValueError, match="covers the whole image"):
        fill(image, torch.zeros_like(mask))
    with pytest.raises(TypeError, match="`mask` must be a bool tensor"):
        fill(image, mask.float())
    with pytest.raises(TypeError, match="`image` must hold floats, got torch.uint8"):
        fill((image * 255).byte(), mask)
    with pytest.raises(ValueError, match="`image` must be"):
        fill(image[..., 0], mask)
