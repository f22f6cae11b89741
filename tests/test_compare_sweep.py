"""Rate-distortion sweeps: every point from real bytes, means that compare, bits at equal PSNR, the figure."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_runs import picture_file
from sirn_files import encoded

from siren_fastai.classics import QUALITIES, pillow_points
from siren_fastai.compare import sweep as rd
from siren_fastai.compare.curves import COLUMNS, OURS, bits_at_psnr, rd_figure, savings, summary
from siren_fastai.compare.sweep import points
from siren_fastai.images import load_image, to_uint8
from siren_fastai.quality import psnr, ssim
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.format import write


def sweep(*args, **options):
    return pd.DataFrame(points(*args, **options), columns=list(COLUMNS))


@pytest.fixture
def pictures(tmp_path):
    return [picture_file(tmp_path / f"{name}.png", 24, 32, 3, seed=i) for i, name in enumerate("ab")]


@pytest.fixture
def untrained(monkeypatch):
    """`compress` without training, for time: a valid file, wider for more bits; below 1 bit per pixel it is refused."""
    calls = []

    def compress(image, *, bpp, **options):
        calls.append((tuple(image.shape), bpp, options))
        if bpp < 1:
            raise ValueError("the smallest possible file has 99 bytes")
        data = write(encoded(*image.shape, hidden=(int(8 * bpp), 8)))
        return SimpleNamespace(data=data, report={"interrupted": bpp > 100})

    monkeypatch.setattr(rd, "compress", compress)
    return calls


def test_points_of_ours_are_those_of_the_files(pictures, untrained, tmp_path):
    table = sweep(pictures, [2, 1.0], codecs=(), folder=tmp_path / "files", steps=3, seed=7)
    assert tuple(table.columns) == COLUMNS and len(table) == 4 and set(table["codec"]) == {OURS}
    assert list(table["picture"]) == ["a.png", "b.png"] * 2 and list(table["setting"]) == [1, 1, 2, 2]
    assert {p.name for p in (tmp_path / "files").iterdir()} == {
        f"{n}_{r}bpp.sirn" for n in "ab" for r in ("1.0", "2.0")
    }
    assert untrained[0] == ((24, 32, 3), 1.0, {"steps": 3, "seed": 7})
    for row in table.to_dict("records"):
        path = tmp_path / "files" / f"{row['picture'][0]}_{row['setting']}bpp.sirn"
        shown = to_uint8(decompress(path)).astype(float) / 255
        target = load_image(tmp_path / row["picture"]).double().numpy()
        assert row["bytes"] == path.stat().st_size and row["bpp"] == 8 * row["bytes"] / (24 * 32)
        assert row["psnr"] == pytest.approx(-10 * math.log10(np.mean((shown - target) ** 2)), abs=1e-4)
        assert row["ssim"] == pytest.approx(ssim(shown, target), abs=1e-5)
        assert row["encode_s"] > 0 and row["decode_s"] > 0


def test_points_of_the_classics_are_pillows(pictures, untrained):
    table = sweep(pictures[:1], [], codecs=["jpeg"], mode="gray")
    target = load_image(pictures[0], mode="gray")
    found = pillow_points(target, "jpeg")
    assert list(table["setting"]) == list(QUALITIES["jpeg"]) and not untrained
    assert list(table["bytes"]) == [n for _, n, _ in found]
    exact = to_uint8(target).astype(np.float32) / 255
    assert list(table["psnr"]) == pytest.approx([psnr(image, exact) for _, _, image in found])


def test_a_rate_that_is_too_low_is_told_and_left_out(pictures, untrained):
    said = []
    table = sweep(pictures, [0.5, 1], codecs=(), say=said.append)
    assert len(table) == 2 and said == [
        f"{name}.png at 0.5 bits per pixel is left out: the smallest possible file has 99 bytes" for name in "ab"
    ]
    with pytest.raises(ValueError, match="smallest possible"):
        sweep(pictures, [0.5], codecs=())


def test_an_interrupted_compression_ends_the_sweep_without_a_point(pictures, untrained):
    found = points(pictures, [1, 200], codecs=())
    assert [row["setting"] for row in (next(found), next(found))] == [1, 1]
    with pytest.raises(KeyboardInterrupt):
        next(found)


def test_pictures_below_the_window_of_ssim_have_none(tmp_path, untrained):
    table = sweep([picture_file(tmp_path / "dot.png", 4, 9)], [1], codecs=())
    assert table["ssim"].isna().all() and np.isfinite(table["psnr"]).all()


@pytest.mark.parametrize(
    "paths, rates, codecs, message",
    [
        ([], [1], (), "at least one image"),
        (["x/a.png", "y/a.jpg"], [1], (), "two images are both named 'a'; rename one"),
        (["a.png"], [0], (), "above 0, got 0"),
        (["a.png"], [float("nan")], (), "above 0, got nan"),
        (["a.png"], [1], ("gif",), "among jpeg.*got 'gif'"),
    ],
)
def test_what_cannot_be_swept_is_refused(paths, rates, codecs, message):
    with pytest.raises(ValueError, match=message):
        sweep(paths, rates, codecs=codecs)


# --- summed up


def table_of(rows):
    filled = [
        (picture, codec, setting, 100 * bpp, bpp, level, 0.9, 1.0, 0.1) for picture, codec, setting, bpp, level in rows
    ]
    return pd.DataFrame(filled, columns=list(COLUMNS))


@pytest.fixture
def table():
    """Two pictures; JPEG at 1 and 4 bpp with 30 and 40 dB on average, ours at 1 bpp with 35 and once at 8."""
    rows = [("a", "jpeg", 90, 5, 42), ("a", "jpeg", 10, 1.5, 31), ("b", "jpeg", 10, 0.5, 29), ("b", "jpeg", 90, 3, 38)]
    return table_of([*rows, ("a", OURS, 1, 1.1, 36), ("b", OURS, 1, 0.9, 34), ("a", OURS, 8, 8, 39)])


def test_means_are_of_the_pictures_own_psnrs(table):
    means = summary(table)
    assert means[["codec", "setting", "pictures"]].values.tolist() == [
        ["jpeg", 10, 2],
        ["jpeg", 90, 2],
        [OURS, 1, 2],
        [OURS, 8, 1],
    ]
    assert means["psnr"].tolist() == [30, 40, 35, 39] and means["bpp"].tolist() == [1, 4, 1, 8]
    assert means["encode_s"].tolist() == [1] * 4


def test_bits_at_equal_psnr_are_interpolated_in_the_logarithm(table):
    means = summary(table)
    assert bits_at_psnr(means, "jpeg", 35) == pytest.approx(2)  # halfway from 1 to 4 bits
    assert bits_at_psnr(means, "jpeg", 30) == pytest.approx(1) and bits_at_psnr(means, "jpeg", 40) == pytest.approx(4)
    assert all(math.isnan(bits_at_psnr(means, codec, level)) for codec, level in (("jpeg", 41), ("webp", 30)))
    saved = savings(means)
    assert len(saved) == 1 and saved["jpeg_bpp"][0] == pytest.approx(2) and saved["jpeg_%"][0] == pytest.approx(-50)


def test_the_figure_draws_means_of_all_pictures_and_each_picture_thin(table):
    axes = rd_figure(table).axes[0]
    curves = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert set(curves) == {"jpeg", OURS} and axes.get_xscale() == "log"
    np.testing.assert_allclose(curves["jpeg"].get_xydata(), [[1, 30], [4, 40]])
    np.testing.assert_allclose(curves[OURS].get_xydata(), [[1, 35]])  # 8 bits: of one picture only
    assert len(axes.lines) == 2 + 4 and "2 pictures" in axes.get_title()


def test_a_lossless_point_has_no_place_but_does_no_harm():
    table = table_of([("a", "jpeg", 10, 1, 30), ("a", "jpeg", 90, 4, math.inf), ("a", OURS, 1, 1, 30)])
    means = summary(table)
    assert bits_at_psnr(means, "jpeg", 30) == pytest.approx(1) and math.isnan(bits_at_psnr(means, "jpeg", 31))
    rd_figure(table).canvas.draw()
