"""The experiment "inpaint": what it refuses, what it reports, and that settings do what they say."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from siren_fastai.images import load_image
from siren_fastai.study.experiments.inpaint import EXPERIMENT
from siren_fastai.study.inpainting.data import loaders_of
from siren_fastai.study.inpainting.images import parts_of, scored_windows
from siren_fastai.study.inpainting.network import Prefill, network_of
from siren_fastai.study.inpainting.scores import HISTORY_COLUMNS, all_scores, scores_of
from siren_fastai.study.inpainting.settings import CHOICES, DATA, DEFAULTS, HOLES, PHOTOS
from siren_fastai.study.inpainting.training import loss_of
from siren_fastai.study.parsing.expressions import plain_value

pytestmark = pytest.mark.numerics

TINY = dict(data="tiles", size=16, count=24, widths=[4, 8], bs=4, max_samples=32, evaluations=3, test_images=6)
TINY |= dict(small_side=[2, 3], large_side=[4, 8])


def complete(**settings):
    return EXPERIMENT.complete({**TINY, **settings})


def run(folder, **settings):
    return EXPERIMENT.run(complete(**settings), folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(data="places2"), "`data` must be a folder of images or one of photos, tiles, kali"),
        (dict(large_side=[4, 16]), "`large_side` must be below `size`, 16 pixels"),
        (dict(small_side=[3, 2]), "`small_side` must be the least and the greatest"),
        (dict(small_count=3), "`small_count` must be a list"),
        (dict(large_count=[0, 1]), "`large_count` must be an integer of 1 or more"),
        (dict(holes="tiny"), "`holes` must be one of small, large, small_then_large"),
        (dict(widths=[]), "`widths` must be a list"),
        (dict(network="gan"), "`network` must be one of unet, ae, ae_fc, mean, smooth"),
        (dict(conv="dilated"), "`conv` must be one of plain, gated, partial"),
        (dict(value_range=255, output="sigmoid"), "`value_range` can't be 255"),
        (dict(residual=True, output="sigmoid"), "`residual` can't be True"),
        (dict(conv="partial", mask_channel=True), "`mask_channel` can't be true"),
        (dict(network="ae_fc", size=18, widths=[4, 4, 4]), "`size` must be a multiple of 4"),
        (dict(value_range=128), "`value_range` must be one of 1, 255"),
        (dict(augment=True), "`augment` must be one of none, shared, per_image"),
        (dict(folds=1), "`folds` must be an integer of 2 or more"),
        (dict(clip=0), "`clip` must be a number above 0"),
        (dict(hole_weight=-1), "`hole_weight` must be a number of 0 or more"),
        (dict(wheel=True), "has no setting wheel"),
    ],
)
def test_settings_are_refused_before_any_training(settings, message):
    with pytest.raises(ValueError, match=message):
        complete(**settings)


def test_checking_settings_imports_no_torch():
    code = "import sys; from siren_fastai.study.experiments.inpaint import EXPERIMENT as e; e.complete({}); "
    found = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert found.stdout.strip() == "False", found.stderr


def test_every_default_is_among_its_choices():
    assert all(DEFAULTS[name] in choices for name, choices in CHOICES.items())


def test_each_source_validates_in_one_fold_and_trains_in_the_others():
    tiles = {fold: parts_of(complete(seed=fold)) for fold in range(3)}
    assert sum(len(parts.valid) for parts in tiles.values()) == TINY["count"]
    for parts in tiles.values():
        train, valid = ({image.numpy().tobytes() for image in images} for images in (parts.train, parts.valid))
        assert not train & valid and len(parts.train) + len(parts.valid) == TINY["count"]
    assert torch.equal(parts_of(complete(seed=4)).valid, tiles[1].valid)


def test_every_photo_is_cut_into_as_many_images_and_a_third_of_the_photos_validates():
    parts = parts_of(complete(data="photos", crops=2))
    assert len(parts.valid) == 2 * len(PHOTOS) / 3 and len(parts.train) == 2 * len(parts.valid)
    assert parts.train.shape[1:] == (3, 21, 21) and parts.train.dtype == torch.uint8


def test_a_folder_of_images_is_data_too_and_small_ones_are_named(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((30, 40, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    parts = parts_of(complete(data=str(tmp_path), crops=1))
    assert [len(parts.train), len(parts.valid)] == [2, 2] and set(parts.valid.unique().tolist()) == {0, 150}
    with pytest.raises(ValueError, match="`folds` is 5"):
        parts_of(complete(data=str(tmp_path), folds=5))
    with pytest.raises(ValueError, match="0.png has a side of less than 40 pixels"):
        parts_of(complete(data=str(tmp_path), size=30))


def test_tests_are_the_same_for_every_seed_of_a_fold_and_holes_have_their_sizes():
    first, again = (scored_windows(settings, parts_of(settings)) for settings in (complete(), complete(seed=3)))
    for name in ("train", "valid", "real", "synthetic"):
        assert torch.equal(first[name].images, again[name].images)
        assert first[name].images.shape == (6, 3, 16, 16) and set(first[name].masks) == set(HOLES)
    assert torch.equal(first["valid"].images, first["synthetic"].images)
    holes = {kind: (~mask).sum((1, 2, 3)) for kind, mask in first["valid"].masks.items()}
    assert holes["small"].max() <= 3 * 9 and 16 <= holes["large"].min() and holes["large"].max() <= 2 * 64


def test_scores_are_those_of_a_loop_over_the_windows():
    torch.manual_seed(0)
    images, masks = torch.rand(3, 3, 8, 8), torch.rand(3, 1, 8, 8) > 0.3
    outputs = torch.rand(3, 3, 8, 8) * 1.4 - 0.2
    found = scores_of(lambda *_: outputs, images, masks)
    decibels, absolute = [], []
    for image, mask, output in zip(images, masks, outputs.clamp(0, 1), strict=True):
        error = (output - image)[:, ~mask[0]]
        decibels.append(-10 * math.log10(error.square().mean()))
        absolute.append(error.abs().mean().item())
    assert found["psnr"] == pytest.approx(np.mean(decibels), abs=1e-4)
    assert found["l1"] == pytest.approx(np.mean(absolute), abs=1e-6)


def test_a_copied_hole_has_no_brightness_and_the_truth_has_all_of_it():
    images, masks = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8, dtype=torch.bool)
    masks[:, :, 2:5, 2:5] = False
    copied = scores_of(lambda image, mask: image, images, masks)
    assert copied["brightness"] == 0 and copied["known_l1"] == 0
    assert scores_of(lambda *_: images, images, masks) == {"psnr": 100, "l1": 0, "brightness": 1, "known_l1": 0}


def test_outputs_that_are_one_colour_have_collapsed_and_infinite_ones_have_no_scores():
    tests = scored_windows(complete(), parts_of(complete()))
    red = all_scores(lambda image, mask: torch.ones_like(image) * torch.tensor([1.0, 0, 0]).view(3, 1, 1), tests)
    assert red["collapsed"] and not red["diverged"]
    assert not all_scores(lambda image, mask: image, tests)["collapsed"]
    lost = all_scores(lambda image, mask: image / 0, tests)
    assert lost["diverged"] and lost["psnr_large"] is None and lost["real_l1_small"] is None


def test_the_mean_colour_is_that_of_known_pixels_alone():
    images, masks = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8) > 0.5
    filled = Prefill("mean")(images, masks)
    for image, mask, colours in zip(images, masks, filled, strict=True):
        hole = colours[:, ~mask[0]]
        torch.testing.assert_close(hole, image[:, mask[0]].mean(1, keepdim=True).expand_as(hole))


def test_without_weights_the_loss_is_that_of_all_pixels():
    output, target, mask = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8), torch.rand(3, 1, 8, 8) > 0.3
    for kind, plain in (("l1", torch.nn.L1Loss()), ("l2", torch.nn.MSELoss())):
        same = loss_of(complete(loss=kind, hole_weight=1))(output, target, mask)
        torch.testing.assert_close(same, plain(output, target))
        bytes_ = loss_of(complete(loss=kind, hole_weight=1, value_range=255))(255 * output, target, mask)
        torch.testing.assert_close(bytes_, plain(255 * output, 255 * target))


def test_errors_in_holes_count_as_many_times_as_their_weight():
    output, target, mask = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8), torch.rand(3, 1, 8, 8) > 0.3
    weights = torch.where(mask, 1.0, 6.0)
    expected = ((output - target).abs() * weights).mean()
    torch.testing.assert_close(loss_of(complete(hole_weight=6))(output, target, mask.float()), expected)


def test_in_another_range_a_network_reads_and_draws_in_that_range():
    torch.manual_seed(0)
    image, mask = torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    model = network_of(complete(value_range=255, norm="none", output="relu")).eval()
    torch.testing.assert_close(model(image, mask), model.network(255 * image, mask).relu())


@pytest.mark.parametrize("augment", ["none", "shared", "per_image"])
def test_augmentation_is_none_or_one_for_all_or_one_for_each(augment):
    settings = complete(augment=augment, bs=32)
    same = parts_of(settings).train[:1].repeat(4, 1, 1, 1)  # of equal images, windows differ only by their augmentation
    dls = loaders_of(settings, same)
    first, second = list(dls.train)[0], list(dls.train)[0]
    differ = {len({window.numpy().tobytes() for window in batch[2]}) > 1 for batch in (first, second)}
    assert differ == {augment == "per_image"}
    torch.testing.assert_close(first[0], first[2] * first[1])
    if augment == "none":
        torch.testing.assert_close(first[2][0], same[0, :, 2:18, 2:18] / 255)
        assert not torch.equal(first[1], second[1])  # holes are drawn anew


def test_a_run_writes_its_history_and_a_row_of_what_it_measured(tmp_path):
    row = run(tmp_path, pictures=True)
    table = pd.read_csv(tmp_path / "history.csv")
    assert list(table) == list(HISTORY_COLUMNS) and len(table) == 3
    assert table["samples"].iloc[-1] == row["samples_seen"] >= 32 and table["steps"].iloc[-1] == row["total_steps"]
    assert table["psnr_large"].iloc[-1] == pytest.approx(row["psnr_large"])
    assert row["psnr_small"] == row["synthetic_psnr_small"] and row["train_loss"] > 0
    assert not row["diverged"] and row["reverts"] == 0
    shown = [load_image(tmp_path / f"{name}.png") for name in ("holes", "filled", "images")]
    known = shown[0] == shown[2]
    assert torch.equal(shown[1][known], shown[2][known]) and not known.all()


def test_the_same_settings_give_the_same_row(tmp_path):
    rows = [run(tmp_path, seed=seed) for seed in (3, 3, 0)]
    first, second, other = ({name: row[name] for name in row if "second" not in name} for row in rows)
    assert first == second and first["l1_large"] != other["l1_large"]


def test_training_fills_holes_better(tmp_path):
    row = run(tmp_path, max_samples=1500, bs=8, lr=0.01)
    table = pd.read_csv(tmp_path / "history.csv")
    assert row["psnr_large"] > table["psnr_large"].iloc[0] + 2


def test_the_mean_colour_needs_no_training(tmp_path):
    row = run(tmp_path, network="mean")
    assert row["total_steps"] == 0 and row["train_loss"] is None and 5 < row["psnr_large"] < 30
    assert row["n_parameters"] == 0


def test_a_curriculum_changes_the_holes_half_way(tmp_path, monkeypatch):
    from siren_fastai.inpainting import losses
    from siren_fastai.study.inpainting import training

    missing = []

    def watched(settings):
        loss = losses.InpaintingLoss(1, 1, 0)

        def count(output, target, mask):
            missing.append((mask == 0).float().sum((1, 2, 3)).mean().item())
            return loss(output, target, mask)

        return count

    monkeypatch.setattr(training, "loss_of", watched)
    run(tmp_path, holes="small_then_large", max_samples=64, large_side=[8, 8], small_side=[2, 2])
    third = len(missing) // 3
    assert max(missing[:third]) <= 12 and min(missing[-third:]) >= 64


@pytest.mark.parametrize("settings", [dict(network="ae"), dict(network="ae_fc", code_size=4), dict(conv="gated")])
def test_other_networks_train_too(tmp_path, settings):
    assert run(tmp_path, **settings)["psnr_large"] > 0


def test_wheels_and_clipping_leave_a_healthy_training_alone(tmp_path):
    row = run(tmp_path, wheels=True, clip=1.0)
    assert row["reverts"] == 0 and not row["collapsed"]


def test_too_many_reverts_end_training_at_the_last_healthy_state_and_other_errors_are_errors(tmp_path, monkeypatch):
    wild = dict(wheels=True, lr=1e4, norm="none", loss="l2", schedule="constant", max_samples=600)
    row = run(tmp_path, **wild)
    assert row["gave_up"] and row["reverts"] == 4 and not row["diverged"] and row["total_steps"] < 150
    without = run(tmp_path, **{**wild, "wheels": False})
    assert without["diverged"] and without["psnr_large"] is None and not without["gave_up"]

    def broken(settings):
        def loss(*_):
            raise RuntimeError("no memory left")

        return loss

    monkeypatch.setattr("siren_fastai.study.inpainting.training.loss_of", broken)
    with pytest.raises(RuntimeError, match="no memory left"):
        run(tmp_path, **wild)


PAGE = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8").split("## `inpaint`")[1]


def test_the_documentation_lists_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", PAGE.split("| column")[0], flags=re.M))
    assert {name: plain_value(text) if "[" not in text else json.loads(text) for name, text in rows.items()} == DEFAULTS
    assert list(rows) == list(DEFAULTS)
    named = set(re.findall(r"`([\w+-]+)`", PAGE))
    own = {name: choices for name, choices in CHOICES.items() if name != "optimizer"}  # as for `fit`
    assert {text for choices in (DATA, *own.values()) for text in choices if isinstance(text, str)} <= named


def test_the_documentation_lists_every_column(tmp_path):
    cells = re.findall(r"^\| (`.*?) \|.*\|.*\|$", PAGE.split("| column")[1], flags=re.M)
    listed = [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]
    assert sorted(listed) == sorted(run(tmp_path, network="mean"))
    assert all(f"`{name}`" in PAGE for name in HISTORY_COLUMNS)
