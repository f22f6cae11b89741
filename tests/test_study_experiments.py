"""The experiments of the built-in studies: what they refuse, what they report, and that settings do what they say."""

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
from fastai.torch_core import set_seed

from siren_fastai import coords
from siren_fastai.coords import grid_coords
from siren_fastai.coreset import CORESETS
from siren_fastai.images import load_image
from siren_fastai.init import output_layer
from siren_fastai.label_maps import pack_labels
from siren_fastai.models import mlp
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.siren import sine_layers
from siren_fastai.names import OPTIMIZER_NAMES
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.quality import psnr
from siren_fastai.schemes import SCHEMES
from siren_fastai.study.experiments.difference import EXPERIMENT as DIFFERENCE
from siren_fastai.study.experiments.fit import EXPERIMENT
from siren_fastai.study.fitting.data import image_of, loaders_of
from siren_fastai.study.fitting.network import network_of, scheme_of
from siren_fastai.study.fitting.run import fit_settings
from siren_fastai.study.fitting.scores import HISTORY_COLUMNS
from siren_fastai.study.fitting.settings import ACTIVATIONS, CHOICES, DEFAULTS, GRIDS, IMAGES, WALKS
from siren_fastai.study.parsing.expressions import plain_value

TINY = dict(size=16, hidden=[16, 16], bs="full", epochs=6, lr=2e-3, evaluations=3)


def complete(**settings):
    return EXPERIMENT.complete({**TINY, **settings})


def run(folder, **settings):
    return EXPERIMENT.run(complete(**settings), folder)


def fitted(folder, **settings):
    return fit_settings(complete(**settings), folder)


def parts(**settings):
    """The image, loaders and network of a fit, before training."""
    settings = complete(**settings)
    set_seed(settings["seed"], reproducible=True)
    image = image_of(settings)
    dls = loaders_of(settings, image)
    return image, dls, network_of(settings, dls, image)


VARIANTS = {
    "scheme": dict(scheme=33),
    "no biases": dict(scheme=20),
    "biases": dict(scheme=14, first_bias=0.1, hidden_bias="half_omega", gain=1.5, omega_0=40),
    "taper": dict(
        scheme="siren_fastai2", final="activated", dims=[2, 24, 12, 3], optimizer="ranger", schedule="flat_cos"
    ),
    "relu": dict(activation="relu", final="activated"),
    "wide": dict(mult=1.5, schedule="constant", wd=0.01),
    "hilbert line": dict(coords="hilbert"),
    "label inputs": dict(clusters=3),
    "scalar label": dict(clusters=3, cluster_use="scalar"),
    "networks": dict(clusters=2, cluster_use="network", cluster_cell=4),
    "ranks": dict(clusters=2, cluster_use="network", cluster_coords="cluster"),
    "by error": dict(clusters=2, cluster_use="network", cluster_by="error", cluster_cell=4),
    "mean colour": dict(mean_color=True, scheme="siren", final="activated"),
    "coreset": dict(coreset=0.25, coreset_by="nearest", coreset_clusters=8),
    "held out": dict(held_out=0.25, schedule="one_cycle"),
    "order": dict(order="serpentine", repeat=2, bs=100),
    "off the grid": dict(off_grid=True),
    "bytes": dict(total_bytes=1500),
    "frozen": dict(freeze=[0]),
    "grey": dict(image="camera", color="gray", coords="corners"),
}


@pytest.fixture(scope="module")
def plain_columns(tmp_path_factory):
    return list(run(tmp_path_factory.mktemp("plain"), levels=[5, 99]))


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_kind_of_fit_reports_the_same_plain_columns(tmp_path, plain_columns, settings):
    row = run(tmp_path, levels=[5, 99], **settings)
    assert list(row) == plain_columns
    assert all(value is None or isinstance(value, (bool, int, float)) for value in row.values())
    assert not row["diverged"] and row["psnr"] == pytest.approx(-10 * math.log10(row["mse"]))
    assert row["low_error"] + row["high_error"] == pytest.approx(row["mse"])
    assert row["high_share"] == pytest.approx(row["high_error"] / row["mse"])
    assert row["steps_to_99"] is None and json.dumps(row)


def test_a_fit_is_decided_by_its_settings(tmp_path):
    timed = ("train_seconds", "samples_per_second", "seconds_per_step")
    rows = [run(tmp_path, bs=100, seed=seed) for seed in (1, 1, 2)]
    first, again, other = ({k: v for k, v in row.items() if k not in timed} for row in rows)
    assert first == again and first["psnr"] != other["psnr"]


def test_the_history_has_a_row_for_each_evaluation_with_the_work_until_it(tmp_path):
    row = run(tmp_path, bs=100, epochs=7, evaluations=4, levels=[1, 99])
    history = pd.read_csv(tmp_path / "history.csv")
    assert tuple(history) == HISTORY_COLUMNS
    assert list(history["epochs"]) == [1, 3, 5, 7], "after the first epoch, then every other one, and the last"
    assert list(history["steps"]) == [3 * n for n in (1, 3, 5, 7)] and row["total_steps"] == 21
    assert list(history["samples"]) == [256 * n for n in (1, 3, 5, 7)] and row["samples_seen"] == 7 * 256
    assert history["flops"].iloc[-1] == pytest.approx(row["total_flops"])
    assert history["psnr"].iloc[-1] == pytest.approx(row["psnr"], abs=1e-4)
    assert row["best_psnr"] == history["psnr"].max()
    assert row["steps_to_1"] == 3 and row["epochs_to_1"] == 1 and row["seconds_to_1"] == history["seconds"].iloc[0]


def test_levels_are_the_same_in_every_unit(tmp_path):
    level = 15.0
    unit = 10 ** (-level / 10)
    found = [
        run(tmp_path, epochs=30, evaluations=30, levels=[value], level_unit=name)[f"steps_to_{value:g}"]
        for name, value in [("psnr", level), ("unit", unit), ("imagenet", unit / 0.0510816667)]
    ]
    assert found[0] is not None and found == found[:1] * 3


def test_the_network_drawn_on_its_own_grid_is_what_was_scored(tmp_path):
    fit = fitted(tmp_path, coords="left")
    values = fit.learn.model(grid_coords((16, 16), "left")).detach().view(16, 16, 3)
    torch.testing.assert_close(values, fit.prediction)
    torch.testing.assert_close(fit.learn.render(size=32)[::2, ::2], values.clamp(0, 1)), "pixel i is pixel 2i of twice"
    assert fit.row["psnr"] == pytest.approx(psnr(values, fit.image))


def test_a_loss_that_is_no_number_is_a_row_and_no_crash(tmp_path):
    row = run(tmp_path, lr=1e30, levels=[20])
    assert row["diverged"] and row["psnr"] is None and row["mse"] is None and row["steps_to_20"] is None
    assert row["total_steps"] >= 1 and (tmp_path / "history.csv").exists()
    assert list(row) == list(run(tmp_path, levels=[20]))


def test_one_cluster_is_the_plain_network(tmp_path):
    plain = fitted(tmp_path)
    for use, by in [("feature", "color"), ("scalar", "color"), ("network", "color"), ("network", "error")]:
        same = fitted(tmp_path, clusters=1, cluster_use=use, cluster_by=by)
        assert torch.equal(plain.prediction, same.prediction) and same.row["label_bytes"] == 0


@pytest.mark.parametrize("use", ["feature", "scalar", "network"])
def test_the_bytes_of_the_labels_count(use):
    image, dls, network = parts(clusters=3, cluster_use=use, cluster_cell=4)
    features = network.clusters.features
    labels = features[..., 0] if use == "network" else features.argmax(-1) if use == "feature" else 2 * features[..., 0]
    assert labels.shape == (4, 4) and network.label_bytes == len(pack_labels(labels.long(), 3))
    assert network.n_bytes == 4 * network.n_parameters + network.label_bytes
    byte = parts(clusters=3, cluster_use=use, cluster_cell=4, weight_bits=8)[2]
    assert byte.n_bytes == network.n_parameters + network.label_bytes


@pytest.mark.parametrize("settings", [{}, *VARIANTS.values()], ids=["plain", *VARIANTS])
def test_total_bytes_are_used_and_never_exceeded(settings):
    if settings.get("mult"):
        return
    settings = {**settings, "total_bytes": 4000}
    network = parts(**settings)[2]
    assert network.n_bytes <= 4000
    if settings.get("cluster_by") != "error":
        assert network.n_bytes > 3000, "the next larger widths would be too many"


def test_labels_that_change_in_training_stay_within_total_bytes(tmp_path):
    settings = dict(clusters=4, cluster_use="network", cluster_by="error", cluster_cell=1, total_bytes=4000)
    assert run(tmp_path, scheme="siren", omega_0=3, **settings)["bytes"] <= 4000


def test_cells_move_to_the_network_with_the_smaller_error(tmp_path):
    settings = dict(clusters=2, cluster_use="network", cluster_cell=2, scheme="siren", omega_0=3)
    by_color, by_error = (fitted(tmp_path, cluster_by=by, **settings) for by in ("color", "error"))
    assert isinstance(by_error.network.clusters, ClusterNetworks)
    assert not torch.equal(by_color.network.clusters.features, by_error.network.clusters.features)


def test_networks_of_places_in_their_cluster_read_one_coordinate():
    image, dls, network = parts(clusters=2, cluster_use="network", cluster_coords="cluster")
    firsts = [layer for layer in sine_layers(network.model) if layer.linear.in_features == 1]
    assert len(firsts) == 2


@pytest.mark.parametrize("where, inputs", [("centers", 2), ("raster", 1), ("hilbert", 1)])
def test_coordinates_have_one_two_or_three_dimensions(where, inputs):
    image, dls, network = parts(coords=where)
    assert dls.train_ds.coords.shape == (256, inputs) and dls.valid_ds.coords.shape == (256, inputs)
    assert sine_layers(network.model)[0].linear.in_features == inputs
    if where == "centers":
        assert sine_layers(parts(clusters=3, cluster_use="scalar")[2].model)[0].linear.in_features == 3


def test_the_mean_colour_is_added_to_what_the_network_learns():
    image, _, network = parts(mean_color=True, scheme="siren")
    _, _, plain = parts(scheme="siren")
    positions = grid_coords((16, 16))
    difference = (network.model(positions) - plain.model(positions)).detach()
    torch.testing.assert_close(difference, image.mean((0, 1)).expand(256, 3))
    assert network.n_bytes == plain.n_bytes + 12


def test_with_a_linear_output_the_mean_colour_is_a_shift_of_its_bias():
    image, _, network = parts(mean_color=True, scheme="siren")
    _, _, plain = parts(scheme="siren")
    with torch.no_grad():
        output_layer(plain.model).bias += image.mean((0, 1))
    positions = grid_coords((16, 16))
    torch.testing.assert_close(network.model(positions), plain.model(positions))


def test_training_sees_the_pixels_that_the_settings_choose():
    image, dls, _ = parts(held_out=0.25)
    assert len(dls.train_ds) == 192 and len(dls.valid_ds) == 256
    image, dls, _ = parts(coreset=0.25, coreset_by="stratified", coreset_clusters=8)
    assert len(dls.train_ds) == 64 and len(dls.valid_ds) == 256
    assert torch.equal(dls.train_ds.values, image.view(-1, 3)[dls.train_ds.pixels])
    order = parts(order="serpentine", repeat=2)[1].train.get_idxs()
    assert torch.equal(order[:256], order[256:]) and order[16] == 31


def test_repeated_passes_are_as_many_samples_in_fewer_epochs(tmp_path):
    once, twice = run(tmp_path, epochs=6), run(tmp_path, epochs=3, repeat=2)
    for column in ("total_steps", "samples_seen", "total_flops"):
        assert once[column] == twice[column]


def test_held_out_pixels_are_scored_apart(tmp_path):
    fit = fitted(tmp_path, held_out=0.25)
    pixels = fit.learn.dls.train_ds.pixels
    pred, goal = fit.prediction.view(-1, 3), fit.image.view(-1, 3)
    assert fit.row["psnr_train"] == pytest.approx(psnr(pred[pixels], goal[pixels]))
    rest = np.setdiff1d(np.arange(256), pixels.numpy())
    assert fit.row["psnr_held_out"] == pytest.approx(psnr(pred[rest], goal[rest]))


def test_a_scheme_is_changed_where_the_settings_say():
    changed = scheme_of(complete(scheme=33, first_bias=0.2, hidden_bias="torch", gain=2, omega_0=10))
    own = SCHEMES[33]
    assert (changed.first, changed.hidden) == (own.first, own.hidden)
    assert (changed.first_bias.law, changed.first_bias.size(9, 10), changed.gain, changed.omega_0) == (
        "uniform",
        0.2,
        2.0,
        10.0,
    )
    assert changed.hidden_bias.size(16, 10) == 1 / 4
    assert scheme_of(complete(scheme=33)) == own
    network = parts(scheme=33, omega_0=10, first_bias=0.2)[2]
    first = sine_layers(network.model)[0]
    assert first.omega_0 == 10 and 0.1 < first.linear.bias.abs().max() <= 0.2


def test_frozen_layers_stay(tmp_path):
    before = parts(freeze=[0])[2].model[0].linear.weight.detach()
    after = fitted(tmp_path, freeze=[0]).learn.model
    assert torch.equal(after[0].linear.weight, before) and after[0].linear.weight.requires_grad


def test_steps_are_rounded_up_to_whole_epochs(tmp_path):
    assert run(tmp_path, epochs=None, steps=10, bs=64)["total_steps"] == 12
    assert run(tmp_path, epochs=None, steps=1, bs=64)["total_steps"] == 4


def test_pictures_are_written_when_asked_for(tmp_path):
    run(tmp_path, pictures=True, levels=[1, 2, 99])
    names = {path.name for path in tmp_path.iterdir()}
    expected = {"history.csv", "target.png", "image.png", "error.png", "bands.json", "at_1.0dB.png", "at_2.0dB.png"}
    assert names == expected
    assert load_image(tmp_path / "image.png").shape == (16, 16, 3)
    bands = json.loads((tmp_path / "bands.json").read_text())
    assert sum(bands["bands"]) == pytest.approx(bands["mse"])
    assert load_image(tmp_path / "error.png").max() == 1 and 0 < bands["greatest_error"] <= 1


def resize_linear(image):
    """PyTorch's linear interpolation to twice the size, with the border's values outside."""
    planes = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], scale_factor=2, mode="bilinear")
    return planes[0].permute(1, 2, 0)


def test_between_the_pixels_the_image_at_twice_the_size_is_the_reference(tmp_path):
    fit = fitted(tmp_path)
    finer = image_of(complete(size=32))
    smooth = resize_linear(fit.image)
    assert fit.row["psnr_off_grid"] == pytest.approx(psnr(fit.learn.render(size=32), finer))
    assert fit.row["psnr_off_grid_gain"] == pytest.approx(fit.row["psnr_off_grid"] - psnr(smooth, finer), abs=1e-3)
    assert fit.row["psnr_bilinear"] == pytest.approx(psnr(fit.learn.render(size=32), smooth), abs=1e-3)
    assert run(tmp_path, image="text", size=100, epochs=1)["psnr_off_grid"] is None, "it has 172 rows, not 200"
    assert run(tmp_path, coords="raster")["psnr_bilinear"] is None


PAGE = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8").split("## `autoencode`")[0]


def test_the_documentation_lists_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", PAGE, flags=re.M))
    assert {name: plain_value(text) if "[" not in text else json.loads(text) for name, text in rows.items()} == DEFAULTS
    assert list(rows) == list(DEFAULTS)
    named = {word for row in PAGE.splitlines() for word in re.findall(r"`([\w]+)`", row)}
    for choices in (IMAGES, *CHOICES.values()):
        assert {choice for choice in choices if isinstance(choice, str)} <= named


def test_the_documentation_lists_every_column(tmp_path):
    fit, difference = PAGE.split("## `difference`")
    cells = [re.findall(r"^\| (`.*?) \|.*\|.*\|$", part, flags=re.M) for part in (fit.split("| column")[1], difference)]
    listed = [[name for cell in part for name in re.findall(r"`(\w+)`", cell)] for part in cells]
    row = EXPERIMENT.run(complete(levels=[30]), tmp_path)
    assert sorted(listed[0]) == sorted(row)
    whole = DIFFERENCE.run(DIFFERENCE.complete({**TINY, "levels": [30], "other": {}}), tmp_path)
    assert sorted(listed[1]) == sorted(set(whole) - set(row))
    assert all(f"`{name}`" in PAGE for name in HISTORY_COLUMNS)


REFUSED = {
    "image 'nowhere.png'": (dict(image="nowhere.png"), "`image` must be a file or one of"),
    "size": (dict(size=4), "`size` must be an integer of 7 or more, got 4"),
    "both": (dict(steps=5), "`epochs` or `steps`, one of the two"),
    "none": (dict(epochs=None), "`epochs` or `steps`, one of the two"),
    "bs": (dict(bs=0), "`bs` must be an integer of 1"),
    "lr": (dict(lr=-1), "`lr` must be a number above 0"),
    "scheme": (dict(scheme=39), "1 to 38"),
    "scheme type": (dict(scheme=[1]), "`scheme` must be"),
    "final": (dict(final="relu"), "`final` must be one of linear, activated"),
    "relu": (dict(activation="relu", omega_0=30), "`omega_0` is for sine networks"),
    "no biases": (dict(scheme=20, first_bias=0.1), "has no biases"),
    "sine without biases": (dict(scheme=20, final="activated"), "needs `final: linear`"),
    "coords": (dict(coords="polar"), "`coords` must be one of"),
    "dims": (dict(dims=[3, 16, 3]), "`dims` must go from 2 coordinates"),
    "hidden": (dict(hidden=[]), "at least one width"),
    "hidden type": (dict(hidden="64"), "list of integer widths"),
    "clusters on a line": (dict(coords="raster", clusters=2), "need a grid"),
    "by error": (dict(clusters=2, cluster_by="error"), "need `cluster_use: network`"),
    "coreset": (dict(coreset=2), "share above 0 and below 1"),
    "coreset and held out": (dict(coreset=0.5, held_out=0.5), "leave `held_out`"),
    "off grid": (dict(off_grid=True, coords="raster"), "`off_grid` trains between"),
    "bytes": (dict(total_bytes=5000, mult=2), "leave `mult` out"),
    "levels": (dict(levels=30), "`levels` must be a list"),
    "level": (dict(levels=[-1]), "`levels` must be a number above 0"),
    "freeze": (dict(freeze=[0.5]), "`freeze` must be layer numbers"),
    "pictures": (dict(pictures=1), "`pictures` must be one of"),
    "seed": (dict(seed=-1), "`seed` must be an integer of 0"),
    "evaluations": (dict(evaluations=1), "`evaluations` must be an integer of 2"),
    "unknown": (dict(learning_rate=1), "has no setting learning_rate"),
}


@pytest.mark.parametrize("settings, message", REFUSED.values(), ids=REFUSED)
def test_bad_settings_are_refused_before_any_training(settings, message):
    with pytest.raises(ValueError, match=message):
        complete(**settings)


def test_the_names_to_choose_from_are_the_librarys():
    assert (GRIDS, WALKS) == (coords.GRIDS, coords.ORDERS[:4])
    assert set(ACTIVATIONS) == {"sine", *mlp.ACTIVATIONS} and set(OPTIMIZER_NAMES) == set(OPTIMIZERS)
    assert CHOICES["coreset_by"] == CORESETS and DEFAULTS.keys() >= CHOICES.keys()


@pytest.mark.parametrize("name", IMAGES)
def test_every_named_image_is_there(name):
    assert image_of(complete(image=name, size=32)).shape == (32, 32, 3)


@pytest.mark.slow
def test_the_experiments_can_be_listed_without_torch():
    code = (
        "import siren_fastai.study.experiments.{} as e, sys; e.EXPERIMENT.defaults; assert 'torch' not in sys.modules"
    )
    for name in ("fit", "difference"):
        subprocess.run([sys.executable, "-c", code.format(name)], check=True)


def test_settings_that_do_not_suit_the_image_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="`total_bytes`: 10 are too few"):
        run(tmp_path, total_bytes=10)
    with pytest.raises(ValueError, match="matches no parameter"):
        run(tmp_path, freeze="head.*")
    assert not list(tmp_path.iterdir())
