"""Filling one image with a network: known pixels to the last bit, any size, the window around the hole, errors."""

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.images import load_image
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.networks import ae_fc, unet


def photo(height=45, width=61, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def hole(height=45, width=61, top=10, left=20, side=12):
    mask = np.ones((height, width), dtype=bool)
    mask[top : top + side, left : left + side] = False
    return mask


def small(**options):
    torch.manual_seed(0)
    return unet(widths=(4, 6, 8), convs=1, **options)


@pytest.mark.parametrize(
    "options", [{}, {"conv": "gated"}, {"conv": "partial"}, {"attention": True}, {"prefill": "mean"}]
)
def test_known_pixels_are_bit_identical_and_the_hole_is_the_networks_on_the_whole_image(options):
    image, mask, model = photo(), hole(), small(**options)
    model.train()
    filled = fill_image(model, image, mask)
    assert model.training and filled.dtype == torch.float32 and filled.shape == (45, 61, 3)
    assert torch.equal(filled[mask], torch.from_numpy(image).float()[mask] / 255)
    x = load_image(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model.eval()(x, torch.from_numpy(mask)[None, None]).clamp(0, 1)[0].permute(1, 2, 0)
    torch.testing.assert_close(filled[~mask], expected[~mask])


@pytest.mark.parametrize("options", [{}, {"conv": "partial"}, {"dilation": (2,)}, {"stem": 2}, {"prefill": "smooth"}])
@pytest.mark.parametrize("place", [(0, 0), (149, 181), (83, 97)])
def test_around_a_small_hole_of_a_large_photo_nothing_is_lost_by_looking_at_a_part(options, place):
    image, mask = photo(160, 190), hole(160, 190, *place, side=9)
    seen = []
    model = small(**options)
    handle = model.register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape[2:])))
    filled = fill_image(model, image, mask)
    handle.remove()
    assert seen[0][0] * seen[0][1] < 0.7 * 160 * 190
    with torch.no_grad():
        x = load_image(image).permute(2, 0, 1)[None]
        expected = model.eval()(x, torch.from_numpy(mask)[None, None]).clamp(0, 1)[0].permute(1, 2, 0)
    torch.testing.assert_close(filled[~mask], expected[~mask])


def test_what_was_in_the_hole_has_no_influence():
    image, mask, model = photo(), hole(), small()
    other = image.copy()
    other[~mask] = 7
    assert torch.equal(fill_image(model, image, mask), fill_image(model, other, mask))


def test_flips_are_the_mean_of_the_mirror_images():
    image, mask, model = photo(32, 32), hole(32, 32, 10, 14), small(output="sigmoid").eval()
    sides = [(), (0,), (1,), (0, 1)]
    flipped = [fill_image(model, np.flip(image, s).copy(), np.flip(mask, s).copy()).flip(s) for s in sides]
    assert not torch.equal(flipped[0], flipped[1])
    torch.testing.assert_close(fill_image(model, image, mask, flips=True), torch.stack(flipped).mean(0))


def test_files_and_pillow_images_are_filled_too(tmp_path):
    image, mask, model = photo(), hole(), small()
    Image.fromarray(image).save(tmp_path / "photo.png")
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "mask.png")
    expected = fill_image(model, image, mask)
    assert torch.equal(fill_image(model, tmp_path / "photo.png", tmp_path / "mask.png"), expected)
    assert torch.equal(fill_image(model, Image.fromarray(image), torch.from_numpy(mask)), expected)


def test_a_gray_network_fills_gray_images():
    filled = fill_image(small(channels=1), photo(channels=1)[..., 0], hole())
    assert filled.shape == (45, 61, 1)


@pytest.mark.parametrize(
    "image, mask, message",
    [
        (photo(channels=1), hole(), "fills images of 3 channels, got 1: convert the image"),
        (photo(channels=4), hole(), "fills images of 3 channels, got 4: convert the image"),
        (photo(), hole(40, 61), "the mask has 40 x 61 pixels, but the image 45 x 61"),
        (photo(), np.ones((45, 61), bool), "the mask is empty"),
        (photo(), np.zeros((45, 61), bool), "the hole covers the whole image"),
    ],
)
def test_what_does_not_fit_is_an_error(image, mask, message):
    with pytest.raises(ValueError, match=message):
        fill_image(small(), image, mask)


def test_a_network_for_one_size_says_so():
    with pytest.raises(ValueError, match="linear bottleneck for images of 32 x 32"):
        fill_image(ae_fc(32, 8, widths=(4, 6)), photo(), hole())


def test_a_network_that_gives_nan_is_an_error_instead_of_an_image():
    model = small()
    with torch.no_grad():
        model.encoder[0][0].norm.running_var.fill_(-1)
    with pytest.raises(ValueError, match="filled the hole with NaN or infinite values"):
        fill_image(model, photo(), hole())
