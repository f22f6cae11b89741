"""Pictures in and out: exact round trips, every kind of file, and errors that say what to do."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import resize

from siren_fastai.images import add_mean, load_image, mean_color, resize_image, save_image, subtract_mean, to_uint8

DATA = Path(__file__).parents[1] / "data"


def noise(*shape):
    return np.random.randint(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_saved_and_loaded_image_is_equal(tmp_path, shape):
    levels = noise(*shape)
    image = load_image(levels)
    save_image(image, tmp_path / "image.png")
    again = load_image(tmp_path / "image.png")
    assert image.dtype == torch.float32 and image.shape == again.shape == (5, 7, shape[2] if len(shape) == 3 else 1)
    assert torch.equal(image, again)
    assert np.array_equal(to_uint8(again), levels.reshape(again.shape))
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


def test_every_8_bit_level_survives_the_round_trip_and_is_k_over_255():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = load_image(levels)
    assert np.array_equal(image[..., 0], (levels / 255).astype(np.float32))
    assert np.array_equal(to_uint8(image)[..., 0], levels)


def test_rounding_is_half_up_after_clamping():
    values = torch.tensor([[-0.5, 0.0, 0.5 / 255, 1.5 / 255, 2.49 / 255, 0.5, 1.0, 1.7, math.inf, -math.inf]]).double()
    assert to_uint8(values).tolist() == [[0, 0, 1, 2, 2, 128, 255, 255, 255, 0]]
    assert to_uint8(values.half())[0, 5] == 128 and to_uint8(values.bfloat16())[0, 5] == 128


def test_a_failed_save_leaves_the_old_image_and_nothing_else(tmp_path):
    path = tmp_path / "image.png"
    save_image(torch.rand(4, 4, 3), path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_image(torch.rand(4, 4, 3), path, compress_level="most")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_saving_passes_options_on_and_refuses_unknown_suffixes_and_shapes(tmp_path):
    image = torch.rand(32, 32, 3)
    save_image(image, tmp_path / "small.jpg", quality=5)
    save_image(image, tmp_path / "large.jpg", quality=95)
    assert (tmp_path / "small.jpg").stat().st_size < (tmp_path / "large.jpg").stat().st_size
    with pytest.raises(ValueError, match="suffix such as .png, got .*image.xyz"):
        save_image(image, tmp_path / "image.xyz")
    with pytest.raises(ValueError, match=r"must be \(h, w\).*got \(4, 4, 5\)"):
        save_image(torch.rand(4, 4, 5), tmp_path / "image.png")


def test_paths_pillow_images_arrays_and_tensors_give_the_same_image(tmp_path):
    levels = noise(6, 5, 3)
    picture = Image.fromarray(levels)
    picture.save(tmp_path / "image.png")
    expected = load_image(levels)
    sources = [str(tmp_path / "image.png"), tmp_path / "image.png", picture, torch.from_numpy(levels), expected]
    sources += [expected.double().numpy(), expected.requires_grad_(), levels[::-1][::-1], np.asfortranarray(levels)]
    for source in sources:
        assert torch.equal(load_image(source), expected)


def test_loading_a_tensor_gives_a_copy():
    source = torch.rand(4, 4, 3)
    load_image(source).zero_()
    assert source.sum() > 0


def test_16_bit_1_bit_float_and_palette_images(tmp_path):
    deep = np.random.randint(0, 65536, (4, 5)).astype(np.uint16)
    for name, array in {"deep.png": deep, "deep.tif": deep}.items():
        Image.fromarray(array).save(tmp_path / name)
        assert np.array_equal(load_image(tmp_path / name)[..., 0], (deep / 65535).astype(np.float32))
    assert torch.equal(load_image(deep), load_image(deep.astype(">u2")))
    assert torch.equal(load_image(Image.fromarray(deep.astype(np.int32))), load_image(deep))
    bits = np.random.rand(4, 5) < 0.5
    assert torch.equal(load_image(Image.fromarray(bits)), torch.from_numpy(bits).float()[..., None])
    assert torch.equal(load_image(bits), torch.from_numpy(bits).float()[..., None])
    floats = np.random.rand(4, 5).astype(np.float32)
    Image.fromarray(floats).save(tmp_path / "float.tif")
    assert np.array_equal(load_image(tmp_path / "float.tif")[..., 0], floats)
    palette = Image.fromarray(noise(4, 5, 3)).quantize(8)
    assert np.array_equal(to_uint8(load_image(palette)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_spaces_become_rgb_as_pillow_does(mode):
    picture = Image.fromarray(noise(4, 5, 3)).convert(mode)
    assert np.array_equal(to_uint8(load_image(picture)), np.asarray(picture.convert("RGB")))


def test_transparency_is_composited_on_white():
    levels = noise(4, 5, 4)
    levels[0, :, 3], levels[1, :, 3] = 0, 255
    image = load_image(Image.fromarray(levels))
    assert image.shape == (4, 5, 3)
    assert (image[0] == 1).all() and np.array_equal(to_uint8(image[1]), levels[1, :, :3])
    alpha = levels[..., 3:] / 255
    np.testing.assert_allclose(image, levels[..., :3] / 255 * alpha + 1 - alpha, atol=1.01 / 255)
    np.testing.assert_allclose(load_image(levels, mode="rgb"), levels[..., :3] / 255 * alpha + 1 - alpha, atol=1e-6)
    assert load_image(levels).shape == (4, 5, 4)


@pytest.mark.parametrize("mode, channels", [("LA", 1), ("La", 1), ("RGBA", 3), ("RGBa", 3)])
def test_every_mode_with_alpha_is_white_where_it_is_transparent(mode, channels):
    picture = Image.new("RGBA", (3, 2), (10, 20, 30, 0)).convert("LA" if channels == 1 else "RGBA")
    image = load_image(picture.convert(mode))
    assert image.shape == (2, 3, channels) and (image == 1).all()


def test_a_palette_with_alpha_is_white_where_it_is_transparent():
    picture = Image.new("P", (3, 2))
    picture.putalpha(0)
    assert picture.mode == "PA"
    assert torch.equal(load_image(picture), torch.ones(2, 3, 3))


def test_transparent_colour_of_a_palette_file_is_composited_on_white(tmp_path):
    picture = Image.new("P", (3, 2))
    picture.putpalette([10, 20, 30] * 256)
    picture.save(tmp_path / "image.png", transparency=0)
    assert (load_image(tmp_path / "image.png") == 1).all()


def test_a_turned_photograph_stands_upright(tmp_path):
    levels = noise(4, 6)
    picture = Image.fromarray(levels)
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(to_uint8(load_image(tmp_path / "turned.png"))[..., 0], np.rot90(levels, -1))


def test_modes_convert_between_gray_and_colour():
    colour = load_image(noise(4, 5, 3))
    gray = load_image(colour, mode="gray")
    torch.testing.assert_close(gray[..., 0], 0.299 * colour[..., 0] + 0.587 * colour[..., 1] + 0.114 * colour[..., 2])
    pillow = np.asarray(Image.fromarray(to_uint8(colour)).convert("L"))
    assert np.abs(to_uint8(gray)[..., 0].astype(int) - pillow).max() <= 1
    assert torch.equal(load_image(gray, mode="rgb"), gray.expand(-1, -1, 3))
    assert torch.equal(load_image(gray, mode="gray"), gray) and torch.equal(load_image(colour, mode="rgb"), colour)
    assert torch.equal(load_image(torch.ones(2, 2, 3), mode="gray"), torch.ones(2, 2, 1))


@pytest.mark.parametrize(
    "size, expected", [(8, (8, 12)), ((5, 30), (5, 30)), (32, (32, 48)), (16, (16, 24)), (1, (1, 2))]
)
def test_sizes_keep_the_aspect_or_are_exact(size, expected):
    image = load_image(noise(16, 24, 3), size=size)
    assert image.shape == (*expected, 3) and image.is_contiguous()
    assert 0 <= image.min() and image.max() <= 1


def test_shrinking_does_not_alias_and_agrees_with_scikit_image_on_a_smooth_image():
    stripes = torch.zeros(64, 64, 1)
    stripes[::4] = 1  # a plain bilinear sample at every fourth row's middle would see none of them
    middle = resize_image(stripes, 16)[2:-2]
    torch.testing.assert_close(middle, torch.full_like(middle, 0.25), rtol=0, atol=0.02)
    y, x = np.mgrid[:64, :48] / 64
    smooth = (0.5 + 0.4 * np.sin(5 * y) * np.cos(4 * x))[..., None]
    ours = resize_image(torch.from_numpy(smooth).float(), (16, 12))
    np.testing.assert_allclose(ours, resize(smooth, (16, 12, 1), anti_aliasing=True), atol=0.01)
    block = smooth.reshape(16, 4, 12, 4, 1).mean((1, 3))
    np.testing.assert_allclose(ours[1:-1, 1:-1], block[1:-1, 1:-1], atol=0.01)


def test_resizing_to_the_same_size_changes_nothing_whatever_the_channels():
    image = torch.rand(6, 8, 7)
    assert torch.equal(resize_image(image, 6), image) and torch.equal(resize_image(image, (6, 8)), image)
    assert resize_image(image, 3).shape == (3, 4, 7)


@pytest.mark.parametrize("shape", [(5, 7, 3), (4, 4, 1)])
def test_mean_colour_residual_is_centred_and_is_undone_by_add_mean(shape):
    levels = noise(*shape)
    image = load_image(levels)
    residual, mean = subtract_mean(image)
    assert mean.dtype == residual.dtype == torch.float32 and mean.shape == shape[2:]
    np.testing.assert_allclose(mean, levels.reshape(-1, shape[2]).mean(0) / 255, atol=1e-7)
    torch.testing.assert_close(residual.mean((0, 1)), torch.zeros(shape[2]), rtol=0, atol=1e-6)
    torch.testing.assert_close(add_mean(residual, mean), image, rtol=0, atol=2**-23)
    assert np.array_equal(to_uint8(add_mean(residual, mean)), levels)


def test_mean_colour_residual_is_bitwise_exact_in_double():
    image = load_image(np.arange(256, dtype=np.uint8).reshape(16, 16)).double()
    residual, mean = subtract_mean(image)
    assert mean.dtype == torch.float32 and residual.dtype == torch.double
    assert torch.equal(add_mean(residual, mean), image)


def test_mean_colour_of_a_large_flat_image_is_exact():
    assert mean_color(torch.full((1024, 1024, 1), 0.1)).item() == torch.tensor(0.1).item()


@pytest.mark.parametrize(
    "array, message",
    [
        (np.full((4, 4), 200.0), "got 200 to 200: divide by 255"),
        (np.linspace(-1, 1, 16).reshape(4, 4), r"\(x \+ 1\) / 2"),
        (np.full((4, 4), 1e4), "got 10000"),
        (np.full((4, 4), -3.0), "undo its normalisation"),
        (np.array([[0.5, np.nan], [np.inf, 0.5]]), "got 2 that are NaN or infinite of 4"),
        (np.zeros((0, 4, 3)), r"not empty, got \(0, 4, 3\)"),
        (np.zeros(5), r"\(h, w, c\) and not empty, got \(5,\)"),
        (np.zeros((1, 3, 8, 8)), r"got \(1, 3, 8, 8\)"),
        (np.zeros((3, 8, 8)), "permute"),
    ],
)
def test_arrays_that_are_not_images_are_refused_with_the_fix(array, message):
    with pytest.raises(ValueError, match=message):
        load_image(array)
    with pytest.raises(ValueError, match=message):
        load_image(torch.from_numpy(array))


def test_values_a_rounding_error_outside_are_clamped():
    image = load_image(np.array([[1 + 1e-6, -1e-6]]))
    assert image.flatten().tolist() == [1, 0]


def test_types_without_a_known_range_are_refused():
    for array in (
        np.zeros((4, 4), dtype=np.int64),
        torch.zeros(4, 4, dtype=torch.int32),
        np.zeros((4, 4), dtype=complex),
    ):
        with pytest.raises(TypeError, match="bool, uint8, uint16 or floats"):
            load_image(array)
    with pytest.raises(TypeError, match="a path, a Pillow image.*got list"):
        load_image([[0.5]])
    with pytest.raises(ValueError, match="16-bit values, 0 to 65535, got 0 to 70000"):
        load_image(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)))
    with pytest.raises(TypeError, match="floats in .*got uint8"):
        to_uint8(np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(TypeError, match="see `load_image`"):
        resize_image(np.zeros((4, 4, 3)), 2)


def test_nan_has_no_8_bit_level():
    with pytest.raises(ValueError, match="1 NaN values: did the training diverge"):
        to_uint8(torch.tensor([[0.5, math.nan]]))


@pytest.mark.parametrize("size", [0, -3, (4, 0), (1, 2, 3), (8,), True, 2.5, (4, 4.0), "8"])
def test_bad_sizes_are_refused_before_the_file_is_opened(size):
    with pytest.raises(ValueError, match="`size` must be an int"):
        load_image("missing.png", size=size)


def test_modes_are_checked():
    with pytest.raises(ValueError, match="`mode` must be one of .*got 'L'"):
        load_image(noise(4, 4), mode="L")
    with pytest.raises(ValueError, match="1 to 4 channels, got 5"):
        load_image(np.random.rand(5, 5, 5), mode="gray")


def test_missing_and_broken_files_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "none.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot identify"):
        load_image(tmp_path / "broken.png")
    save_image(torch.rand(64, 64, 3), tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with pytest.raises(OSError, match="truncated"):
        load_image(tmp_path / "cut.png")


def test_means_and_residuals_must_fit():
    with pytest.raises(ValueError, match=r"got \(3,\), \(4, 4, 1\)"):
        add_mean(torch.rand(4, 4, 1), torch.rand(3))


@pytest.mark.parametrize(
    "name, shape", [("cat", (224, 224, 3)), ("astronaut", (224, 224, 3)), ("camera", (256, 256, 1))]
)
def test_images_of_the_data_folder_are_small_and_not_flat(name, shape):
    path = DATA / f"{name}.png"
    assert path.stat().st_size <= 100_000
    image = load_image(path)
    assert image.shape == shape and image.std() > 0.1
