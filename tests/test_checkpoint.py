"""Checkpoints: the same network again, bit for bit; and files that are damaged, foreign or hostile."""

import json
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from fastai.torch_core import set_seed
from learners import quiet
from safetensors.numpy import load_file

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.fits.state import Checkpoint
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.field import field_model
from siren_fastai.models.siren import siren_model
from siren_fastai.names import MODEL_KINDS
from siren_fastai.render import render

pytestmark = pytest.mark.numerics

SMALL = dict(hidden_features=8, hidden_layers=1, sidelength=[9, 8])


def small(kind="siren", **settings):
    return field_model(kind, **{**SMALL, "n_features": {"rbf": 16, "fourier": 4}.get(kind), **settings})


def checkpoint(**settings):
    return Checkpoint(**{"model": small(), "size": (9, 8), "epoch": 3, "seed": 7, **settings})


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_kind_comes_back_bit_for_bit(tmp_path, kind, n_out):
    saved = checkpoint(model=small(kind, n_out=n_out), grid="corners", value_range=(-1.0, 1.0), options={"lr": 1e-4})
    again = load_checkpoint(save_checkpoint(saved, tmp_path / "a.safetensors"))
    assert again.model.config == saved.model.config and again.options == {"lr": 1e-4} and again.optimizer is None
    assert (again.size, again.grid, again.value_range) == ((9, 8), "corners", (-1.0, 1.0))
    assert (again.epoch, again.seed) == (3, 7)
    assert torch.equal(again.render(), saved.render()) and saved.render().shape == (9, 8, n_out)


def test_state_names_are_the_notes_and_other_readers_understand_the_file(tmp_path):
    saved = checkpoint(model=field_model("siren", n_out=1))
    tensors = load_file(save_checkpoint(saved, tmp_path / "a.safetensors"))
    names = [f"net.{i}.linear.{p}" for i in range(4) for p in ("weight", "bias")] + ["net.4.weight", "net.4.bias"]
    assert sorted(tensors) == sorted(names) and sum(t.size for t in tensors.values()) == 198_401
    np.testing.assert_array_equal(tensors["net.1.linear.weight"], saved.model.net[1].linear.weight.detach().numpy())


def test_the_json_beside_it_says_what_the_file_holds(tmp_path):
    save_checkpoint(checkpoint(), tmp_path / "a.safetensors")
    header = json.loads((tmp_path / "a.json").read_text())
    assert header["format"] == "siren_fastai checkpoint" and header["version"] == 1
    assert header["size"] == [9, 8] and header["model"]["kind"] == "siren" and header["epoch"] == 3


def test_what_a_scheme_changes_in_the_sine_layers_comes_back(tmp_path):
    model = apply_init_(small(), 35)  # omega_0 of 10 and a gain
    again = load_checkpoint(save_checkpoint(checkpoint(model=model), tmp_path / "a.safetensors"))
    assert again.model.net[0].gain == model.net[0].gain != 1.0 and again.model.net[0].omega_0 == 10.0
    assert torch.equal(again.render(), render(model, (9, 8)))


def test_values_of_other_ranges_are_rendered_as_pictures():
    model = small()
    picture = checkpoint(model=model, value_range=(-1.0, 1.0)).render((5, 4))
    expected = (render(model, (5, 4), clamp=None) + 1) / 2
    torch.testing.assert_close(picture, expected.clamp(0, 1))


def test_optimiser_states_of_any_nesting_come_back(tmp_path):
    state = {
        "state": {0: {"step": torch.tensor(3.0), "rows": [torch.arange(4), None]}},
        "lr": 1e-3,
        "betas": (0.9, 0.5),
    }
    again = load_checkpoint(save_checkpoint(checkpoint(optimizer=state), tmp_path / "a.safetensors")).optimizer
    assert again["betas"] == (0.9, 0.5) and again["lr"] == 1e-3 and again["state"][0]["rows"][1] is None
    assert torch.equal(again["state"][0]["rows"][0], torch.arange(4)) and again["state"][0]["step"] == 3


def test_optimiser_tensors_keep_their_layout(tmp_path):
    state = [torch.randn(3, 4, 5).permute(2, 0, 1), torch.randn(3, 4).t(), torch.randn(6), torch.tensor(2.0)]
    again = load_checkpoint(save_checkpoint(checkpoint(optimizer=state), tmp_path / "a.safetensors")).optimizer
    for ours, theirs in zip(again, state, strict=True):
        assert torch.equal(ours, theirs) and ours.stride() == theirs.stride()
        assert ours.data_ptr() % 64 == theirs.data_ptr() % 64  # products of tensors elsewhere differ in the last bits


def test_an_interrupted_write_leaves_the_older_file(tmp_path, monkeypatch):
    path = save_checkpoint(checkpoint(), tmp_path / "a.safetensors")
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)  # a full disk, which a test cannot make
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(checkpoint(epoch=4), path)
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.safetensors"]


def test_reading_draws_no_random_numbers(tmp_path):
    path = save_checkpoint(checkpoint(), tmp_path / "a.safetensors")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(path)
    assert torch.equal(torch.rand(3), expected)


# --- damaged, foreign and hostile files


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    torch.manual_seed(0)
    path = save_checkpoint(checkpoint(), tmp_path_factory.mktemp("c") / "a.safetensors")
    return path.read_bytes()


def refuse(tmp_path, content, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"bad.safetensors is not a checkpoint of this library, or a damaged one: .*{message}"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize("share", [0, 0.003, 0.2, 0.7, 0.999])
def test_truncated_files_are_refused(tmp_path, content, share):
    refuse(tmp_path, content[: int(share * len(content))], "")


@pytest.mark.parametrize(
    "other", [b"hello", b"\x89PNG\r\n\x1a\n" + bytes(99), b"\x80\x04N.", struct.pack("<Q", 1 << 62)]
)
def test_files_of_other_kinds_are_refused(tmp_path, other):
    refuse(tmp_path, other, "")


def test_safetensors_of_others_are_refused(tmp_path):
    refuse(tmp_path, safetensors.torch.save({"w": torch.zeros(2)}), "")
    refuse(tmp_path, safetensors.torch.save({"w": torch.zeros(2)}, {"siren_fastai": "{}"}), "its format is not")
    refuse(tmp_path, safetensors.torch.save({"w": torch.zeros(2)}, {"siren_fastai": "[" * 100_000}), "")


def forge(tmp_path, **changes):
    """A checkpoint whose header says something else."""
    saved = checkpoint()
    path = save_checkpoint(saved, tmp_path / "a.safetensors")
    header = json.loads((tmp_path / "a.json").read_text()) | {"optimizer": None} | changes
    header = {name: value for name, value in header.items() if value != "missing"}
    path.write_bytes(safetensors.torch.save(saved.model.state_dict(), {"siren_fastai": json.dumps(header)}))
    return path.read_bytes()


CONFIG = {"kind": "siren", "n_in": 2, "n_out": 3, "hidden_features": 8, "hidden_layers": 1, "omega_0": 30.0}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": 3}, "it is of version 3"),
        ({"model": "missing"}, "it lacks 'model'"),
        ({"model": {**CONFIG, "hidden_features": 10**7}}, "its tensors .* are not those of `model`"),
        ({"model": {**CONFIG, "hidden_layers": 10**9}}, "asks for 1000000000 layers"),
        ({"model": {**CONFIG, "kind": "pickle"}}, "`kind` must be one of"),
        ({"model": {**CONFIG, "evil": 1}}, ""),
        ({"model": {**CONFIG, "n_parameters": 10**12}}, "`model` must be the settings"),
        ({"model": {"kind": "grid", "n_in": 2, "n_out": 3, "grid_shape": [10**9, 10**9]}}, ""),
        ({"model": {"kind": "siren", "n_in": 2, "dims": [2] + [8] * 10**4}}, "asks for 9999 layers"),
        ({"model": [1, 2]}, ""),
        ({"sine_layers": [[30.0, 1.0]]}, ""),
        ({"sine_layers": [[30.0, 1.0], [float("inf"), 1.0]]}, "omega_0 and gain must be above 0"),
        (
            {"sine_layers": [[30.0, 1.0], [1e308, 1.0]]},
            "omega_0 and gain must be above 0 and at most 1e.09, got 1e.308",
        ),
        ({"sine_layers": [[30.0, 1e300], [30.0, 1.0]]}, "omega_0 and gain must be above 0 and at most 1e.09"),
        ({"model": {**CONFIG, "omega_0": 1e308}}, "the settings of `model` must be at most 1e.09, got 1e.308"),
        ({"model": {**CONFIG, "omega_0": 10**30}}, "the settings of `model` must be at most 1e.09"),
        ({"model": {**CONFIG, "omega_0": float("nan")}}, "`omega_0` must be above 0"),
        ({"size": [10**6, 10**6]}, "`size` must be"),
        ({"size": [0, 4]}, "`size` must be"),
        ({"size": "ab"}, "`size` must be"),
        ({"grid": "hexagons"}, "`grid` 'hexagons' is impossible"),
        ({"value_range": [1, 0]}, "is impossible"),
        ({"value_range": [0, 1e300]}, "is impossible"),
        ({"value_range": [float("nan"), 1]}, "is impossible"),
        ({"epoch": -1}, "`epoch` and `seed`"),
        ({"model": {**CONFIG, "hidden_features": 10**40}}, ""),
        ({"options": "text"}, ""),
        ({"optimizer": {"tensor": ["none", 0]}}, "it lacks 'none'"),
        ({"optimizer": {"tensor": ["net.2.bias", 0, 1]}}, ""),
        ({"optimizer": {"call": "os.system"}}, "unknown part 'call'"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, changes, message):
    refuse(tmp_path, forge(tmp_path, **changes), message)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_networks_that_diverged_are_refused(tmp_path, value):
    saved = checkpoint()
    with torch.no_grad():
        saved.model.net[0].linear.weight[3, 1] = value
    save_checkpoint(saved, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="its weights hold NaN or infinite values: its training diverged"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_half_precision_weights_are_refused(tmp_path):
    saved = checkpoint()
    save_checkpoint(saved, tmp_path / "a.safetensors")
    halves = {name: t.half() for name, t in saved.model.state_dict().items()}
    refuse(
        tmp_path,
        safetensors.torch.save(halves, {"siren_fastai": (tmp_path / "a.json").read_text()}),
        "its weights must be float32",
    )


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors")


# --- from learners, in version 2


LEARNERS = {
    "tapering": lambda: ((9, 8, 3), siren_model([2, 12, 9, 5, 3]), []),
    "two omegas": lambda: ((9, 8, 3), siren_model([2, 8, 8, 3], omega_0=50.0, hidden_omega_0=20.0), []),
    "clusters as features": lambda: ((9, 8, 3), siren_model([2, 8, 8, 3]), [ClusterFeatures(3), ApplyInit(33)]),
    "scaled widths": lambda: ((9, 8, 3), siren_model([2, 8, 6, 3]), [ScaleWidths(2), ApplyInit(35)]),
    "the default": lambda: ((9, 8, 3), None, []),
    "sound": lambda: ((50, 2), siren_model([1, 8, 8, 2]), []),
    "a video": lambda: ((3, 5, 4, 1), siren_model([3, 8, 8, 1]), []),
    "many channels": lambda: ((9, 8, 7), siren_model([2, 8, 8, 7]), []),
}


def learner(shape, model, cbs, **options):
    set_seed(0, reproducible=True)
    values = torch.rand(shape) if len(shape) > 2 else 2 * torch.rand(shape) - 1
    dls = PixelDataLoaders.from_array(values, bs=30, device="cpu", **options)
    return quiet(siren_learner(dls, model, metrics=[], cbs=cbs))


@pytest.mark.parametrize("name", LEARNERS)
def test_every_network_of_siren_learner_comes_back_as_the_learner_renders_it(tmp_path, name):
    shape, model, cbs = LEARNERS[name]()
    learn = learner(shape, model, cbs, value_range={"sound": (-1.0, 1.0), "many channels": None}.get(name, (0.0, 1.0)))
    learn.fit(1)
    again = load_checkpoint(save_checkpoint(learn, tmp_path / "a.safetensors"))
    assert torch.equal(again.render(), learn.render())
    assert torch.equal(again.render(7), learn.render(7)) and again.channels == shape[-1]
    part = tuple([-1.0, 0.0][i >= len(shape) - 1] for i in range(2 * (len(shape) - 1)))
    assert torch.equal(again.render(region=part), learn.render(region=part))


def test_a_learner_continues_where_its_checkpoint_was_saved(tmp_path):
    shape, model, _ = LEARNERS["tapering"]()
    learn = learner(shape, model, [MetricHistory()], order="raster")
    learn.fit(2)
    saved = load_checkpoint(save_checkpoint(learn, tmp_path / "a.safetensors"))
    assert saved.epoch == 2
    learn.fit(2)
    again = quiet(saved.learner(learner(shape, None, [], order="raster").dls, metrics=[]))
    again.fit(2)
    for ours, theirs in zip(again.model.parameters(), learn.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_a_checkpoint_opens_only_with_data_and_optimiser_that_fit(tmp_path):
    shape, model, _ = LEARNERS["tapering"]()
    learn = learner(shape, model, [])
    learn.fit(1)
    saved = load_checkpoint(save_checkpoint(learn, tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="the network has 2 coordinates and 3 channels, `dls` .1, 2."):
        saved.learner(learner((50, 2), None, [], value_range=(-1.0, 1.0)).dls)
    saved.optimizer = {"state": [], "hypers": "none"}
    with pytest.raises(ValueError, match="optimiser state does not fit this network and `opt_func`"):
        saved.learner(learn.dls)


def test_positions_that_are_not_a_grid_are_said_to_be_none(tmp_path):
    learn = learner((9, 8, 3), siren_model([1, 8, 3]), [], coords="line")
    saved = load_checkpoint(save_checkpoint(learn, tmp_path / "a.safetensors"))
    coords = torch.linspace(-1, 1, 5)[:, None]
    assert torch.equal(saved.model(coords), learn.model(coords))
    with pytest.raises(ValueError, match="aren't a regular grid: call `.model.coords.`"):
        saved.render()


def test_networks_that_a_file_cannot_hold_are_refused_with_what_to_do(tmp_path):
    learn = learner((9, 8, 3), torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout()), [])
    with pytest.raises(TypeError, match="a Dropout cannot be described .* `learn.export`"):
        save_checkpoint(learn, tmp_path / "a.safetensors")
    with pytest.raises(TypeError, match="must be float32, got torch.float16 in .*: `model.float"):
        save_checkpoint(checkpoint(model=small().half()), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_clusters_with_networks_of_their_own_come_back_and_their_labels_are_checked(tmp_path):
    model = ClusterNetworks([siren_model([2, n, 3]) for n in (4, 6)], torch.randint(2, (9, 8)))
    path = save_checkpoint(checkpoint(model=model), tmp_path / "a.safetensors")
    assert torch.equal(load_checkpoint(path).render(), checkpoint(model=model).render())
    model.features[0, 0] = 2
    with pytest.raises(ValueError, match="its labels must be below 2"):
        load_checkpoint(save_checkpoint(checkpoint(model=model), path))


def test_version_1_is_written_where_it_suffices(tmp_path):
    save_checkpoint(checkpoint(), tmp_path / "a.safetensors")
    save_checkpoint(checkpoint(model=siren_model([2, 8, 3])), tmp_path / "b.safetensors")
    versions = [json.loads((tmp_path / f"{name}.json").read_text())["version"] for name in "ab"]
    assert versions == [1, 2]


def test_layers_that_do_not_follow_one_another_are_refused(tmp_path):
    broken = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Linear(9, 3))
    path = save_checkpoint(checkpoint(model=broken), tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="bad.safetensors is not a checkpoint of this library, or a damaged one"):
        load_checkpoint(path)
