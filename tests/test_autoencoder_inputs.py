"""Pictures of any kind as what an encoder reads: layouts, types, files, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.autoencoder.inputs import as_images

RGB, GRAY = (3, 8, 10), (1, 8, 10)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 10, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255

ALIKE = {
    "a batch of arrays": PIXELS,
    "channels first": torch.from_numpy(PIXELS).permute(0, 3, 1, 2),
    "floats": PIXELS.astype(np.float64) / 255,
    "Pillow images": [Image.fromarray(image) for image in PIXELS],
    "a tuple of all kinds": (PIXELS[0], torch.from_numpy(PIXELS[1]).permute(2, 0, 1), PIXELS[2] / 255, EXPECTED[3:]),
}


@pytest.mark.parametrize("pictures", ALIKE.values(), ids=ALIKE)
def test_all_kinds_give_the_same_batch(pictures):
    images = as_images(pictures, RGB)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, EXPECTED, atol=1e-6, rtol=0)


@pytest.mark.parametrize("picture", [PIXELS[0], EXPECTED[0], EXPECTED[:1], Image.fromarray(PIXELS[0])])
def test_a_single_picture_is_a_batch_of_one(picture):
    torch.testing.assert_close(as_images(picture, RGB), EXPECTED[:1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(8, 10), (1, 8, 10), (8, 10, 1), (1, 1, 8, 10), (1, 8, 10, 1)])
def test_gray_pictures_may_leave_out_their_channel(shape):
    assert as_images(PIXELS[0, ..., 0].reshape(shape), GRAY).shape == (1, *GRAY)


def test_a_gray_batch_may_leave_out_its_channel():
    for n in (1, 3, 4):
        images = as_images(PIXELS[:n, ..., 0], GRAY)
        torch.testing.assert_close(images, EXPECTED[:n, :1], atol=1e-6, rtol=0)


def test_files_and_folders_are_read(tmp_path):
    for i, image in enumerate(PIXELS):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    for pictures in (tmp_path, str(tmp_path), sorted(tmp_path.iterdir())):
        torch.testing.assert_close(as_images(pictures, RGB), EXPECTED, atol=1e-6, rtol=0)


REFUSED = [
    (PIXELS[..., 0], RGB, ValueError, r"built for 3 channels \(RGB\), got images with 1 channel \(gray\)"),
    (PIXELS, GRAY, ValueError, r"built for 1 channel \(gray\), got images with 3 channels \(RGB\)"),
    (PIXELS[0, ..., 0], RGB, ValueError, "got images with 1 channel"),
    (PIXELS[:, :7], RGB, ValueError, "built for images of 8 x 10 pixels, got 7 x 10"),
    (EXPECTED.transpose(2, 3), RGB, ValueError, "got 10 x 8"),
    (EXPECTED * 255, RGB, ValueError, "divide by 255"),
    (EXPECTED - 1, RGB, ValueError, r"must be in \[0, 1\]"),
    (EXPECTED * torch.nan, RGB, ValueError, r"must be in \[0, 1\]"),
    (PIXELS.astype(np.int64), RGB, TypeError, "must be uint8, or floats"),
    (PIXELS[:0], RGB, ValueError, "must be one image or a batch"),
    ([], RGB, ValueError, "`pictures` is empty"),
    (None, RGB, TypeError, "got NoneType"),
    ([PIXELS[0], PIXELS[1, :5]], RGB, ValueError, "picture 1: .*got 5 x 10"),
]


@pytest.mark.parametrize("pictures, shape, kind, words", REFUSED)
def test_what_does_not_fit_is_a_clear_error(pictures, shape, kind, words):
    with pytest.raises(kind, match=words):
        as_images(pictures, shape)


def test_a_folder_names_the_picture_that_does_not_fit(tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[0, :4]).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png: .*got 4 x 10"):
        as_images(tmp_path, RGB)
    (tmp_path / "small.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"small\.png"):
        as_images(tmp_path, RGB)
