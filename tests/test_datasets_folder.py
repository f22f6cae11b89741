"""A user's own images: found, read, brought to one size, and named when something is wrong with them."""

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.datasets.folder import image_files, read_images, to_gray


def save(path, size=(20, 30), mode="RGB", value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], value if mode == "L" else (value, 50, 200)).save(path)
    return path


def test_a_folder_is_read_in_the_order_of_its_paths_with_its_folders(tmp_path):
    save(tmp_path / "b.png", value=2)
    save(tmp_path / "a" / "z.PNG", value=1)
    save(tmp_path / "c.bmp", value=3)
    save(tmp_path / ".hidden" / "d.png")
    save(tmp_path / ".e.png")
    (tmp_path / "notes.txt").write_text("no image")
    names = [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)]
    assert names == ["a/z.PNG", "b.png", "c.bmp"]
    images = read_images(tmp_path)
    assert images.shape == (3, 3, 20, 30) and images.dtype == torch.uint8
    assert images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert torch.equal(read_images([str(path) for path in image_files(tmp_path)]), images)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16), (9, 40), (7, 5)])
@pytest.mark.parametrize("size", [16, (8, 12), (12, 8)])
def test_every_image_fills_the_size_without_changing_its_proportions(shape, size):
    height, width = (size, size) if isinstance(size, int) else size
    rows = torch.linspace(0, 1, shape[0])[:, None, None].expand(*shape, 3).numpy()
    out = read_images([rows], size)[0].float()
    assert out.shape == (3, height, width)
    assert torch.equal(out[:, :, 0], out[:, :, -1])  # still the same in each column
    seen = min(1.0, height * shape[1] / (width * shape[0]))  # the share of the rows that is left
    assert float(out[0, -1, 0] - out[0, 0, 0]) == pytest.approx(255 * seen * (height - 1) / height, rel=0.2, abs=9)
    assert float(out.mean()) == pytest.approx(127.5, abs=9)  # the middle, but for half a row
    stretched = read_images([rows], size, fit="stretch")[0].float()
    assert stretched.shape == (3, height, width) and float(stretched[0, 0, 0]) < 255 / height + 9


def test_arrays_of_every_layout_are_read(tmp_path):
    last = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3)).astype(np.uint8)
    expected = torch.from_numpy(last).permute(0, 3, 1, 2)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    for source in (last, first, torch.from_numpy(first), list(last), [Image.fromarray(x) for x in last], last / 255):
        assert torch.equal(read_images(source), expected)
    assert torch.equal(read_images(last[..., 0]), expected[:, :1])
    assert torch.equal(read_images(last[..., :1]), expected[:, :1])


def test_gray_and_colour_are_what_channels_says(tmp_path):
    save(tmp_path / "a.png", mode="L", value=77)
    save(tmp_path / "b.png", value=77)
    with pytest.raises(ValueError, match="a.png has 1 channels and .*b.png has 3: choose `channels=1` or 3"):
        read_images(tmp_path)
    gray, color = read_images(tmp_path, channels=1), read_images(tmp_path, channels=3)
    assert gray.shape == (2, 1, 20, 30) and color.shape == (2, 3, 20, 30)
    assert gray[:, 0, 0, 0].tolist() == [77, round(0.299 * 77 + 0.587 * 50 + 0.114 * 200)]
    assert color[:, :, 0, 0].tolist() == [[77, 77, 77], [77, 50, 200]]


def test_gray_is_rounded_luma():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8)).astype(np.uint8))
    red, green, blue = images.double().unbind(1)
    expected = (0.299 * red + 0.587 * green + 0.114 * blue + 0.5 + 1e-9).floor()
    assert torch.equal(to_gray(images)[:, 0].double(), expected)
    assert torch.equal(to_gray(images[:, :1]), images[:, :1])
    assert (to_gray(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)) == 255).all()
    with pytest.raises(ValueError, match="`images` must be gray or RGB"):
        to_gray(images[:, :2])


def test_a_broken_or_empty_image_is_named(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="b.png can't be read as an image: the file is empty"):
        read_images(tmp_path)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="b.png can't be read as an image"):
        read_images(tmp_path, size=8)
    with pytest.raises(ValueError, match="image 1 can't be read as an image: .*must hold finite values"):
        read_images([np.zeros((4, 4)), np.full((4, 4), np.nan)])
    with pytest.raises(ValueError, match="missing.png can't be read as an image"):
        read_images([tmp_path / "missing.png"])


def test_arrays_that_are_no_gray_or_colour_images_are_named():
    with pytest.raises(ValueError, match="image 0 has 4 channels: choose `channels=1` or 3"):
        read_images(np.zeros((2, 5, 6, 4)))
    assert read_images(np.ones((2, 5, 6, 4)), channels=1).shape == (2, 1, 5, 6)
    with pytest.raises(ValueError, match="image 0 can't be read as an image: .*channels first"):
        read_images([np.zeros((3, 8, 8), np.uint8)])


def test_images_of_different_sizes_are_named(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", (21, 30))
    with pytest.raises(ValueError, match="a.png has 20x30 pixels and .*b.png 21x30: choose a `size`"):
        read_images(tmp_path)
    assert read_images(tmp_path, 8).shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(source="nowhere"), FileNotFoundError, "nowhere isn't a folder"),
        (dict(source=[]), ValueError, "`source` holds no images"),
        (dict(source=np.zeros((3, 0, 4, 3))), ValueError, "an array of images must be"),
        (dict(source=np.zeros((8, 8))), ValueError, "an array of images must be"),
        (dict(source=3), TypeError, "`source` must be a folder, a list of images or an array, got int"),
        (dict(channels=2), ValueError, "`channels` must be 1 for gray, 3 for RGB or None, got 2"),
        (dict(fit="pad"), ValueError, "`fit` must be 'crop' or 'stretch', got 'pad'"),
        (dict(size=0), ValueError, "`size` must be"),
        (dict(size=(3,)), ValueError, "`size` must be"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        read_images(**{"source": np.zeros((2, 5, 5, 3)), **options})


def test_a_folder_without_images_is_said_so(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(FileNotFoundError, match="holds no images; their names must end in a suffix such as .png"):
        read_images(tmp_path)
