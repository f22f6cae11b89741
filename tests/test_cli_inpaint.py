"""`siren-fastai inpaint`: known pixels bit for bit in the file, both ways to fill, and clear errors before any work."""

import struct
import zlib

import numpy as np
import pytest
import torch
from cli_runs import levels_of, picture_file
from fastai.torch_core import set_seed
from PIL import Image, ImageCms

from siren_fastai.cli.main import main
from siren_fastai.images import load_image
from siren_fastai.inpainting.coordinates import fill_with_siren
from siren_fastai.inpainting.files import load_network, save_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.large import fill_large
from siren_fastai.inpainting.networks import unet
from siren_fastai.quality import psnr

QUICK = ("--max_steps", "10")


@pytest.fixture
def photo(tmp_path):
    return str(picture_file(tmp_path / "photo.png", 32, 40, 3))


def save_mask(path, height=32, width=40, **options):
    known = np.full((height, width), 255, np.uint8)
    known[10:18, 12:22] = 0
    Image.fromarray(known).save(path, **options)
    return str(path)


@pytest.fixture
def mask(tmp_path):
    return save_mask(tmp_path / "mask.png")


@pytest.fixture
def network(tmp_path):
    set_seed(0)
    return str(save_network(unet(widths=(8, 8)), tmp_path / "unet.safetensors"))


def known_of(mask):
    return levels_of(mask) > 127


def test_the_hole_is_filled_and_known_pixels_stay_bit_for_bit(photo, mask, tmp_path, capsys):
    output = tmp_path / "made" / "filled.png"
    assert main(["inpaint", photo, str(output), "--mask", mask]) == 0
    before, after, known = levels_of(photo), levels_of(output), known_of(mask)
    assert after.shape == before.shape and after.dtype == np.uint8
    np.testing.assert_array_equal(after[known], before[known])
    assert psnr(after[~known][None] / 255, before[~known][None] / 255) > 20
    printed = capsys.readouterr().out
    assert printed.startswith(f"{output}: 32x40 pixels, 6.25 % filled with omega_0 ")
    assert (
        " and a share of " in printed and "dB at known pixels that were hidden; " in printed and " steps in " in printed
    )


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB"])
def test_every_mode_of_8_bits_is_kept_in_every_exact_format(photo, mask, tmp_path, suffix, mode):
    source, output = tmp_path / "source.png", tmp_path / f"filled{suffix}"
    with Image.open(photo) as picture:
        picture.convert(mode).save(source)
    assert main(["inpaint", str(source), str(output), "--mask", mask, "--omega_0", "5", *QUICK]) == 0
    plain = "RGB" if mode in ("P", "RGB") else "L"
    with Image.open(source) as before, Image.open(output) as after:
        assert after.mode == plain
        known = known_of(mask)
        np.testing.assert_array_equal(np.asarray(before.convert(plain))[known], np.asarray(after)[known])


def test_options_reach_the_library(photo, mask, tmp_path):
    output, known = tmp_path / "x.png", torch.from_numpy(known_of(mask))
    line = "--omega_0 7 --tv 0.5 --max_steps 9 --seed 3 --device cpu"
    assert main(["inpaint", photo, str(output), "--mask", mask, *line.split()]) == 0
    options = dict(omega_0=7.0, tv=0.5, max_steps=9, seed=3, device="cpu", progress=False)
    expected = fill_with_siren(load_image(photo), known, **options)
    np.testing.assert_allclose(levels_of(output) / 255, expected, atol=1.5 / 255)


def test_a_trained_network_fills_too(photo, mask, network, tmp_path, capsys):
    output = tmp_path / "x.png"
    assert main(["inpaint", photo, str(output), "--mask", mask, "--model", network, "--flips"]) == 0
    before, after, known = levels_of(photo), levels_of(output), known_of(mask)
    np.testing.assert_array_equal(after[known], before[known])
    assert f"6.25 % filled by {network} in " in capsys.readouterr().out
    made = fill_image(load_network(network), load_image(photo), torch.from_numpy(known), flips=True)
    np.testing.assert_allclose(after / 255, made, atol=1.5 / 255)


def test_holes_of_a_large_photo_are_filled_group_by_group_as_all_at_once():
    set_seed(0)
    model, shares = unet(widths=(8, 8), norm="none").eval(), []
    image, mask = torch.rand(300, 420, 3), torch.ones(300, 420, dtype=torch.bool)
    mask[13:33, 17:40] = mask[250:, 390:] = mask[140, 200] = False
    filled = fill_large(model, image, mask, progress=shares.append)
    torch.testing.assert_close(filled, fill_image(model, image, mask), atol=1e-5, rtol=0)
    assert len(shares) == 3 and shares == sorted(shares) and shares[-1] == 1
    assert torch.equal(filled[mask], image[mask])


def test_the_colour_profile_is_kept(photo, mask, tmp_path):
    profile, source, output = ImageCms.createProfile("sRGB"), tmp_path / "profile.png", tmp_path / "x.png"
    content = ImageCms.ImageCmsProfile(profile).tobytes()
    with Image.open(photo) as picture:
        picture.save(source, icc_profile=content)
    assert main(["inpaint", str(source), str(output), "--mask", mask, "--omega_0", "5", *QUICK]) == 0
    with Image.open(output) as picture:
        assert picture.info["icc_profile"] == content


def test_a_hole_deeper_than_the_network_sees_is_warned_of(tmp_path, network, capsys):
    photo, mask = picture_file(tmp_path / "large.png", 90, 90, 3), np.full((90, 90), 255, np.uint8)
    mask[5:85, 5:85] = 0
    Image.fromarray(mask).save(tmp_path / "hole.png")
    arguments = ["--mask", str(tmp_path / "hole.png"), "--model", network]
    assert main(["inpaint", str(photo), str(tmp_path / "x.png"), *arguments]) == 0
    assert "warning: the hole is up to 40 pixels from what is known" in capsys.readouterr().err


@pytest.fixture
def refused(photo, mask, tmp_path, capsys, monkeypatch):
    """Run the command with changed arguments; it must end with exit code 2 before any work. Returns its message."""

    def run(*more, image=photo, output="x.png", mask=mask):
        monkeypatch.setattr("siren_fastai.cli.filling.siren_filling", None)
        monkeypatch.setattr("siren_fastai.cli.filling.fill_large", None)
        arguments = ["inpaint", str(image), str(tmp_path / output), *(["--mask", str(mask)] if mask else []), *more]
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("siren-fastai inpaint: error: ") and "Traceback" not in error
        assert not (tmp_path / "x.png").exists()
        return error

    return run


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".txt", ""])
def test_formats_that_would_change_known_pixels_are_refused(refused, suffix):
    assert "OUTPUT must end in .png, .bmp, .tif or .tiff: " in refused(output=f"filled{suffix}")


def test_masks_that_do_not_fit_are_named(refused, tmp_path):
    def saved(levels):
        Image.fromarray(levels).save(tmp_path / "other.png")
        return tmp_path / "other.png"

    assert "--mask: there is no file" in refused(mask=tmp_path / "none.png")
    assert "--mask is missing" in refused(mask=None)
    other = save_mask(tmp_path / "other.png", 40, 32)
    assert "the mask has 40 x 32 pixels, but the image 32 x 40" in refused(mask=other)
    assert "the mask is empty" in refused(mask=saved(np.full((32, 40), 255, np.uint8)))
    assert "the hole covers the whole image" in refused(mask=saved(np.zeros((32, 40), np.uint8)))
    assert "black (hole) and white (known)" in refused(mask=saved(np.full((32, 40), 120, np.uint8)))
    (tmp_path / "text.png").write_text("no image")
    assert "text.png: " in refused(mask=tmp_path / "text.png")


def test_photos_that_cannot_be_kept_exactly_are_refused(refused, photo, tmp_path):
    path = tmp_path / "other.png"
    with Image.open(photo) as picture:
        transparent = picture.convert("RGBA")
        transparent.putpixel((0, 0), (0, 0, 0, 0))
        transparent.save(path)
        assert "its transparent parts would be lost" in refused(image=path)
        picture.convert("CMYK").save(tmp_path / "cmyk.tif")
        assert "has pixels of the mode CMYK, and 8 bits" in refused(image=tmp_path / "cmyk.tif")
    Image.fromarray(np.zeros((32, 40), np.uint16)).save(path)
    assert "has 16 bits a channel, and 8 bits" in refused(image=path)
    path.write_bytes(deep_png(32, 40))
    assert "has 16 bits a channel, and 8 bits" in refused(image=path)
    assert "IMAGE: there is no file" in refused(image=tmp_path / "none.png")


def deep_png(height, width):
    """A PNG with 16 bits for each of three channels, which Pillow reads as 8 bits but can't write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x12\x34" * 3 * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_opaque_alpha_channel_is_left_out(photo, mask, tmp_path):
    source, output = tmp_path / "opaque.png", tmp_path / "x.png"
    with Image.open(photo) as picture:
        picture.convert("RGBA").save(source)
    assert main(["inpaint", str(source), str(output), "--mask", mask, "--omega_0", "5", *QUICK]) == 0
    np.testing.assert_array_equal(levels_of(output)[known_of(mask)], levels_of(photo)[known_of(mask)])


def test_networks_that_do_not_fit_are_named(refused, network, photo, tmp_path):
    assert "--model: there is no file" in refused("--model", tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_text("no network")
    assert "is not an inpainting network" in refused("--model", tmp_path / "x.safetensors")
    gray = picture_file(tmp_path / "gray.png", 32, 40, 1)
    assert "fills colour images, and IMAGE is gray" in refused("--model", network, image=gray)


def test_options_that_do_not_go_together_are_named(refused, network):
    assert "--flips needs --model" in refused("--flips")
    assert "--tv is for networks that are fitted" in refused("--tv", "0.1", "--model", network)
    assert "--omega_0: must be a number above 0" in refused("--omega_0", "0")


def test_what_the_library_refuses_names_the_option(photo, mask, tmp_path, capsys):
    assert main(["inpaint", photo, str(tmp_path / "x.png"), "--mask", mask, "--tv", "-1"]) == 2
    assert "--tv must be finite and 0 or more, got -1" in capsys.readouterr().err


def test_nothing_is_overwritten_unasked(refused, photo, mask, network, tmp_path, capsys):
    old = tmp_path / "old.png"
    old.write_text("precious")
    assert f"{old} already exists: give --y" in refused(output="old.png") and old.read_text() == "precious"
    for path in (photo, mask):
        message = refused("--y", output=path)
        assert "would overwrite the input" in message
