"""JPEG, WebP and AVIF as baselines: whole files, by Pillow's own settings, decoded to the pixels they hold."""

import io

import numpy as np
import pytest
import torch
from cli_runs import picture_file
from PIL import Image

from siren_fastai.classics import (
    QUALITIES,
    available_codecs,
    decode_classic,
    encode_classic,
    pillow_points,
)
from siren_fastai.images import load_image, to_uint8
from siren_fastai.quality import psnr


@pytest.fixture
def rgb(tmp_path):
    return load_image(picture_file(tmp_path / "rgb.png", 24, 32, 3))


@pytest.fixture
def gray(tmp_path):
    return load_image(picture_file(tmp_path / "gray.png", 24, 32, 1))


def test_a_jpeg_is_pillows_own_optimised_file(rgb):
    stream = io.BytesIO()
    Image.fromarray(to_uint8(rgb)).save(stream, "JPEG", quality=40, optimize=True)
    [(quality, n_bytes, decoded)] = pillow_points(rgb, "jpeg", [40])
    assert (quality, n_bytes) == (40, len(stream.getvalue()))
    np.testing.assert_array_equal(to_uint8(decoded), np.asarray(Image.open(stream)))
    stream = io.BytesIO()
    Image.fromarray(to_uint8(rgb)).save(stream, "JPEG", quality=40)
    assert n_bytes < len(stream.getvalue())


@pytest.mark.parametrize("codec", available_codecs())
def test_points_are_what_the_file_holds(codec, rgb, gray, tmp_path):
    for image in (rgb, gray):
        [low, high] = pillow_points(image, codec, [10, 90])
        assert low[1] < high[1] and psnr(low[2], image) < psnr(high[2], image)
        assert all(p[2].shape == image.shape and p[2].dtype == torch.float32 for p in (low, high))
        path = tmp_path / f"x.{codec}"
        path.write_bytes(encode_classic(image, codec, 90))
        mode = "gray" if image is gray else "rgb"
        assert path.stat().st_size == high[1]
        assert (load_image(path, mode=mode) - high[2]).abs().max() < 1.5 / 255  # gray of RGB: two ways to round


@pytest.mark.parametrize("codec", available_codecs())
def test_all_numbers_and_shapes_of_one_picture_give_one_file(codec, gray):
    levels = to_uint8(gray)
    files = {encode_classic(x, codec, 50) for x in (gray, gray.double(), levels, levels[..., 0], torch.tensor(levels))}
    assert len(files) == 1


def test_the_default_qualities_are_swept_from_low_to_high(gray):
    points = pillow_points(gray, "jpeg")
    assert [p[0] for p in points] == list(QUALITIES["jpeg"]) and all(list(q) == sorted(q) for q in QUALITIES.values())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((4, 4, 3), np.uint8), "png", 5), "must be one of jpeg, webp, avif, got 'png'"),
        ((np.zeros((4, 4, 3), np.uint8), "jpeg", 101), "from 0 to 100, got 101"),
        ((np.zeros((4, 4, 2), np.uint8), "jpeg", 5), r"or \(h, w, 3\), got \(4, 4, 2\)"),
        ((np.zeros((0, 4, 3), np.uint8), "jpeg", 5), r"got \(0, 4, 3\)"),
        ((np.zeros((16384, 1), np.uint8), "webp", 5), "16383"),
    ],
)
def test_what_cannot_be_encoded_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        encode_classic(*arguments)


def test_other_refusals(gray):
    with pytest.raises(TypeError, match="floats"):
        encode_classic(np.zeros((4, 4), np.int64), "jpeg", 5)
    with pytest.raises(ValueError, match="`channels` must be 1 or 3, got 2"):
        decode_classic(encode_classic(gray, "jpeg", 5), 2)


def test_a_pillow_without_avif_says_so(gray, monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")  # as Pillow built without it says
    assert available_codecs() == ("jpeg", "webp")
    with pytest.raises(ValueError, match="cannot write avif; it can write jpeg, webp"):
        pillow_points(gray, "avif")
    monkeypatch.setattr("PIL.features.modules", {})  # an older Pillow has never heard of it
    assert available_codecs() == ("jpeg",)
