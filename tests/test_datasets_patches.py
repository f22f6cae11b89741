"""Squares cut from images of any size: where they come from, and that none of a photo is on both sides of a split."""

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.data import PictureDataLoaders
from siren_fastai.datasets.patches import image_patches


def photos():
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3)).astype(np.uint8) for size in [(20, 33), (17, 8), (8, 8)]]


@pytest.mark.parametrize("stride, counts", [(None, [8, 2, 1]), (5, [18, 2, 1]), (1, [338, 10, 1])])
def test_squares_are_those_of_a_loop(stride, counts):
    patches, groups = image_patches(photos(), 8, stride)
    step, expected = stride or 8, []
    for photo in photos():
        for top in range(0, photo.shape[0] - 7, step):
            expected += [photo[top : top + 8, left : left + 8] for left in range(0, photo.shape[1] - 7, step)]
    assert groups.bincount().tolist() == counts
    assert torch.equal(patches, torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2))


def test_no_photo_is_in_training_and_in_validation(tmp_path):
    for i in range(6):
        Image.new("RGB", (20 + i, 24), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    dls = PictureDataLoaders.from_images(*image_patches(tmp_path, 8), valid=3)
    train, valid = (set(ds.images[:, 0, 0, 0].tolist()) for ds in (dls.train_ds, dls.valid_ds))
    assert train == {0, 40, 120, 160} and valid == {80, 200}


def test_an_image_that_is_too_small_is_named():
    with pytest.raises(ValueError, match="image 1 has 17x8 pixels, less than a square of 9"):
        image_patches(photos(), 9)
    with pytest.raises(ValueError, match="`stride` must be an integer of 1 or more, got 0"):
        image_patches(photos(), 8, 0)
    with pytest.raises(ValueError, match="holds no images"):
        image_patches([])
