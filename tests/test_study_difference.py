"""Two fits of one image, compared."""

import json

import numpy as np
import pytest
import torch
from learners import picture

from siren_fastai.images import load_image
from siren_fastai.study.experiments.difference import EXPERIMENT
from siren_fastai.study.experiments.fit import EXPERIMENT as FIT
from siren_fastai.study.fitting.difference import compare_errors, signed_colors

TINY = dict(size=16, hidden=[16, 16], bs="full", epochs=6, lr=2e-3, evaluations=3)
IMAGE = torch.from_numpy(picture(16, 16))


def run(folder, **settings):
    return EXPERIMENT.run(EXPERIMENT.complete({**TINY, **settings}), folder)


def test_the_map_says_who_is_nearer_and_the_bands_add_up():
    first, other = IMAGE.clone(), IMAGE.clone()
    first[:4] += 0.1
    other[8:] -= 0.2
    found, nearer = compare_errors(first, other, IMAGE)
    expected = np.zeros((16, 16))
    expected[:4], expected[8:] = -0.1, 0.2
    np.testing.assert_allclose(nearer, expected, atol=1e-6)
    assert found["share_better"] == 0.5
    assert sum(found["bands"]["first"]) == pytest.approx(0.01 * 4 / 16)
    assert sum(found["bands"]["other"]) == pytest.approx(0.04 * 8 / 16)


def test_colours_are_blue_above_zero_red_below_and_nearly_white_at_zero():
    colors = signed_colors(torch.tensor([[0.5, 0.0, -0.5, -9.0]]), 0.5)
    (blue, white, red, clamped) = colors[0]
    assert blue[2] > blue[0] + 0.2 and red[0] > red[2] + 0.2 and white.min() > 0.95
    assert torch.equal(red, clamped)
    assert signed_colors(torch.zeros(2, 2), 0.0).min() > 0.95


def test_a_fit_and_the_same_fit_differ_nowhere(tmp_path):
    row = run(tmp_path, other={})
    assert row["psnr_gain"] == row["psnr_gain_low"] == row["psnr_gain_high"] == row["share_better"] == 0
    assert json.loads((tmp_path / "difference.json").read_text())["color_scale"] == 0
    assert load_image(tmp_path / "difference.png").min() > 0.95


def test_the_first_fits_row_comes_with_what_it_gains(tmp_path):
    row = run(tmp_path, other={"lr": 1e-5}, pictures=True, levels=[5])
    plain = FIT.run(FIT.complete({**TINY, "levels": [5]}), tmp_path)
    assert row["psnr"] == plain["psnr"] and set(plain) < set(row)
    assert row["psnr_gain"] == row["psnr"] - row["other_psnr"] > 0 and row["share_better"] > 0.5
    written = json.loads((tmp_path / "difference.json").read_text())
    assert sum(written["bands"]["first"]) == pytest.approx(row["mse"])
    assert {path.name for path in tmp_path.iterdir()} >= {"difference.png", "error.png", "history.csv"}


def test_a_fit_that_diverged_is_a_row(tmp_path):
    row = run(tmp_path, other={"lr": 1e30})
    assert row["diverged"] and row["psnr"] is not None and row["other_psnr"] is None and row["psnr_gain"] is None
    assert not (tmp_path / "difference.png").exists()
    assert list(row) == list(run(tmp_path, other={}))


REFUSED = {
    "missing": (dict(), "needs other"),
    "type": (dict(other=3), "`other` must be settings"),
    "unknown": (dict(other={"rate": 1}), "`other` cannot have rate"),
    "image": (dict(other={"image": "camera"}), "`other` cannot have image"),
    "its own": (dict(other={"lr": -1}), "`other`: `lr` must be a number above 0"),
    "of the first": (dict(other={}, lr=-1), "^`lr` must be a number above 0"),
}


@pytest.mark.parametrize("settings, message", REFUSED.values(), ids=REFUSED)
def test_bad_settings_are_refused_before_any_training(settings, message):
    with pytest.raises(ValueError, match=message):
        EXPERIMENT.complete({**TINY, **settings})
