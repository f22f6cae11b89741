"""The experiment "autoencode": what it refuses, what it reports, and that settings do what they say."""

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
from sklearn.decomposition import PCA

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.images import load_image
from siren_fastai.study.autoencoding.data import images_as_they_are, loaders_of
from siren_fastai.study.autoencoding.network import autoencoder_of, count_parameters
from siren_fastai.study.autoencoding.pca import pca_autoencoder
from siren_fastai.study.autoencoding.scores import (
    HISTORY_COLUMNS,
    collapse_quality,
    quality,
    quality_in_train_mode,
    samples_to_levels,
)
from siren_fastai.study.autoencoding.settings import CHOICES, DATA, DECODERS, DEFAULTS, ENCODERS
from siren_fastai.study.experiments.autoencode import EXPERIMENT
from siren_fastai.study.parsing.expressions import plain_value
from siren_fastai.study.study import load_study

pytestmark = pytest.mark.numerics

TINY = dict(data="tiles-300", size=8, code_size=6, hidden=4, channels=[2], bs=16, max_samples=64, evaluations=3)
TOKENS = dict(encoder="patches", decoder="patches", token_size=8, heads=2)


def complete(**settings):
    return EXPERIMENT.complete({**TINY, **settings})


def run(folder, **settings):
    return EXPERIMENT.run(complete(**settings), folder)


def history(folder):
    return pd.read_csv(folder / "history.csv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(data="mnist"), "`data` must be a folder of images or one of tiles"),
        (dict(data="tests", size=None), "`size` must say"),
        (dict(TOKENS, data="digits28", size=None, patch=8, stride=8), "rebuild 24 of 28 pixels"),
        (dict(TOKENS, patch=2, stride=4), "leave gaps"),
        (dict(TOKENS, heads=3), "multiple of `heads`"),
        (dict(encoder="dalle", size=12), "multiple of 8"),
        (dict(encoder="fields", size=10), "multiple of 4"),
        (dict(encoder="dalle", encoder_width=6), "multiple of 4"),
        (dict(channels=[2, 2, 2, 2]), "too small for 4 convolutions"),
        (dict(channels=16), "`channels` must be a list"),
        (dict(frequencies=7), "`frequencies` must be a list"),
        (dict(frequencies=[7, -1]), "`frequencies` must be a number above 0"),
        (dict(loss="l3"), "`loss` must be one of l1, l2"),
        (dict(dropout=1), "`dropout` must be a share below 1"),
        (dict(spread=-1), "`spread` must be a number of 0 or more"),
        (dict(max_samples=0), "`max_samples` must be an integer of 1 or more"),
        (dict(device="tpu"), "`device` must be"),
        (dict(levels=0.1), "`levels` must be a list"),
        (dict(width=3), "has no setting width"),
    ],
)
def test_settings_are_refused_before_any_training(settings, message):
    with pytest.raises(ValueError, match=message):
        complete(**settings)


def test_checking_settings_imports_no_torch():
    code = "import sys; from siren_fastai.study.experiments.autoencode import EXPERIMENT as e; e.complete({}); "
    found = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert found.stdout.strip() == "False", found.stderr


def test_every_default_is_among_its_choices():
    assert all(DEFAULTS[name] in choices for name, choices in CHOICES.items())
    assert DEFAULTS["data"] in DATA


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS[:4])
def test_every_encoder_goes_with_every_decoder(encoder, decoder):
    settings = complete(encoder=encoder, decoder=decoder, encoder_width=4, token_size=8, heads=2)
    model, images = autoencoder_of(settings), torch.rand(3, 3, 8, 8)
    assert model(images).shape == images.shape and model.encode(images).shape == (3, 6)


def test_the_notes_networks_have_the_notes_parameters():
    model = autoencoder_of(EXPERIMENT.complete({}))
    assert [count_parameters(part) for part in (model.encoder, model.decoder)] == [2_217_438, 293_891]
    first = dict(gray=True, encoder="dalle", code_size=128, cos=False)
    model = autoencoder_of(EXPERIMENT.complete({**first, "blocks": 4, "hidden": 64}))
    assert [count_parameters(part) for part in (model.encoder, model.decoder)] == [1_725_264, 42_497]
    concat = autoencoder_of(EXPERIMENT.complete({**first, "blocks": 8, "hidden": 64, "residual": "alternate"}))
    assert count_parameters(concat.decoder) == 3_502_785


def test_the_notes_matrix_has_150_combinations_of_which_30_cannot_be_trained():
    study = load_study("002-tr1", full=True, overrides=["seed=[0]"])
    refused = []
    for combination in study.combinations:
        try:
            EXPERIMENT.complete(combination.settings)
        except ValueError as error:
            refused.append(str(error))
    assert len(study.combinations) == 150 and study.combinations[-1].number == 180
    assert len(refused) == 30 and all("rebuild 24 of 28 pixels" in reason for reason in refused)


def test_a_run_writes_its_history_and_a_row_of_what_it_measured(tmp_path):
    row = run(tmp_path, levels=[1.0, 1e-6], spread=0.01, pictures=True)
    table = history(tmp_path)
    assert list(table) == list(HISTORY_COLUMNS) and len(table) == 3
    assert table["samples"].iloc[-1] == row["samples_seen"] >= 64 and table["steps"].iloc[-1] == row["total_steps"]
    assert table["l1"].iloc[-1] == pytest.approx(row["l1"]) and row["best_l1"] == pytest.approx(table["l1"].min())
    assert row["psnr"] == pytest.approx(-10 * math.log10(row["mse"])) and 0 < row["train_l1"] < 1
    assert row["samples_to_1"] == table["samples"].iloc[0] and row["samples_to_1e-06"] is None
    assert row["n_parameters"] == row["n_encoder"] + row["n_decoder"] and not row["diverged"]
    assert load_image(tmp_path / "images.png").shape == load_image(tmp_path / "reconstructions.png").shape


def test_the_same_settings_give_the_same_row(tmp_path):
    rows = [run(tmp_path, seed=seed) for seed in (3, 3, 4)]
    first, second, other = ({name: row[name] for name in row if "second" not in name} for row in rows)
    assert first == second and first["l1"] != other["l1"]


def test_training_makes_reconstructions_better(tmp_path):
    row = run(tmp_path, max_samples=2000, lr=0.01, hidden=16, channels=[8], evaluations=2)
    table = history(tmp_path)
    assert row["l1"] < 0.9 * table["l1"].iloc[0] and row["variation"] > 0.2


def test_the_rate_falls_to_zero_with_the_samples(tmp_path):
    run(tmp_path, max_samples=160, evaluations=11, lr=0.01)
    rates = history(tmp_path)["lr"]
    assert rates.is_monotonic_decreasing and rates.iloc[0] == pytest.approx(0.01) and rates.iloc[-1] < 1e-3
    run(tmp_path, max_samples=160, evaluations=3, lr=0.01, schedule="constant")
    assert set(history(tmp_path)["lr"]) == {0.01}


def test_a_loss_that_is_no_number_ends_the_fit(tmp_path):
    row = run(tmp_path, lr=1e20, max_samples=640, encoder="dalle", encoder_width=4, batch_norm=False, loss="l2")
    assert row["diverged"] and row["l1"] is None and row["samples_seen"] < 640


def test_the_spread_pulls_the_codes_to_their_deviation(tmp_path):
    options = dict(max_samples=800, lr=0.003, loss="l2")
    assert run(tmp_path, spread=1.0, **options)["std_part"] < run(tmp_path, spread=0, **options)["std_part"]


def test_validation_images_are_of_other_instances_and_tiles_are_drawn_at_their_size():
    dls = loaders_of(complete(data="tiles", count=168))
    images, groups = tile_images(168, size=8)
    expected = images[groups % 21 == 20].float() / 255
    assert torch.equal(images_as_they_are(dls.valid_ds), expected) and len(dls.train_ds) == 168 - len(expected)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (dict(data="kali", fractals=22), (3, 8, 8)),
        (dict(data="tiles+kali", count=84, fractals=22, gray=True), (1, 8, 8)),
        (dict(data="digits28", size=14), (1, 14, 14)),
        (dict(data="glyphs28", count=14, size=None), (1, 28, 28)),
    ],
)
def test_other_collections_have_their_channels_and_the_size_asked_for(settings, shape):
    settings = complete(**settings)
    dls = loaders_of(settings)
    assert dls.image_shape == shape and autoencoder_of(settings)(dls.one_batch()[0]).shape[1:] == shape


def test_a_folder_of_images_is_a_collection_too(tmp_path):
    for i in range(42):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 10, 3), np.uint8)).save(tmp_path / f"{i:02}.png")
    dls = loaders_of(complete(data=str(tmp_path), gray=True))
    assert dls.image_shape == (1, 8, 8) and len(dls.valid_ds) == 2


def test_without_augmentation_training_sees_the_images_as_they_are():
    dls = loaders_of(complete(augment=False))
    seen = torch.cat([images for images, _ in dls.train]).flatten(1)
    own = images_as_they_are(dls.train_ds).flatten(1)
    assert torch.equal(seen.sum(1).sort().values, own.sum(1).sort().values)


def test_principal_components_are_those_of_scikit_learn(tmp_path):
    images = torch.rand(40, 1, 3, 4)
    model = pca_autoencoder(images, 5)
    flat, pca = images.flatten(1).numpy(), PCA(5)
    expected = pca.inverse_transform(pca.fit_transform(flat))
    np.testing.assert_allclose(model(images).flatten(1).detach().numpy(), expected, atol=1e-5)
    with pytest.raises(ValueError, match="12 components need at least 13 images"):
        pca_autoencoder(images[:12], 12)
    row = run(tmp_path, encoder="pca")
    assert row["total_steps"] == 0 and 0 < row["l1"] < row["median_l1"] and history(tmp_path).empty


def test_fields_start_from_the_training_images(tmp_path):
    row = run(tmp_path, encoder="fields", code_size=20, max_samples=1, bs=2, lr=1e-4)
    assert row["train_l1"] < 0.6 * row["median_l1"] and row["samples_seen"] == 2


def test_one_image_for_all_has_no_variation():
    class Gray(torch.nn.Module):
        def forward(self, images):
            return torch.full_like(images, 0.25)

    images = torch.rand(5, 1, 4, 4)
    found = quality(Autoencoder(Gray(), torch.nn.Identity()), images)
    assert found["variation"] == 0 and found["l1"] == pytest.approx((images - 0.25).abs().mean().item())
    assert collapse_quality(images, images) <= found["l1"]


def test_the_median_digit_is_as_far_from_the_digits_as_computed_elsewhere():
    dls = loaders_of(complete(data="digits28", size=None))
    assert collapse_quality(*map(images_as_they_are, (dls.train_ds, dls.valid_ds))) == pytest.approx(0.1513, abs=1e-4)


def test_levels_are_reached_at_the_first_evaluation_at_or_below_them():
    table = pd.DataFrame({"samples": [1, 2, 3], "seconds": [0.1, 0.2, 0.3], "mse": [0.3, 0.1, 0.2]})
    found = samples_to_levels(table, [0.2, 0.01], "mse")
    assert found == {"samples_to_0.2": 2, "seconds_to_0.2": 0.2, "samples_to_0.01": None, "seconds_to_0.01": None}


def test_in_train_mode_images_of_a_batch_depend_on_each_other_unless_each_is_normalised_alone():
    images = torch.rand(6, 3, 8, 8)
    for kind, differs in (("per_image", False), (True, True), (False, False)):
        model = autoencoder_of(complete(batch_norm=kind)).eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        alone, together = (quality_in_train_mode(model, images, bs)["mse"] for bs in (1, 6))
        assert (abs(alone - together) > 1e-6) is differs, kind
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_without_batch_statistics_is_the_same_in_both_modes(tmp_path):
    assert run(tmp_path, batch_norm=False)["mode_gap"] == pytest.approx(0, abs=1e-6)


PAGE = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8").split("## `autoencode`")[1]
PAGE = PAGE.split("\n## ")[0]


def test_the_documentation_lists_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", PAGE, flags=re.M))
    assert {name: plain_value(text) if "[" not in text else json.loads(text) for name, text in rows.items()} == DEFAULTS
    assert list(rows) == list(DEFAULTS)
    named = set(re.findall(r"`([\w+-]+)`", PAGE))
    own = {name: choices for name, choices in CHOICES.items() if name != "optimizer"}  # as for `fit`
    assert {text for choices in (DATA, *own.values()) for text in choices if isinstance(text, str)} <= named


def test_the_documentation_lists_every_column(tmp_path):
    cells = re.findall(r"^\| (`.*?) \|.*\|.*\|$", PAGE.split("| column")[1], flags=re.M)
    listed = [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]
    assert sorted(listed) == sorted(run(tmp_path, levels=[0.05]))
    assert all(f"`{name}`" in PAGE for name in HISTORY_COLUMNS)
