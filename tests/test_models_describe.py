"""Networks as plain values: the same layers again, through JSON."""

import json

import pytest
import torch
from torch import nn

from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.describe import build_model, describe_model, shapes_of
from siren_fastai.models.encodings import fourier_model, nerf_model, rbf_model
from siren_fastai.models.features import add_features_
from siren_fastai.models.field import field_model
from siren_fastai.models.finer import finer_model
from siren_fastai.models.gauss import gauss_model
from siren_fastai.models.grid import grid_model
from siren_fastai.models.mlp import ACTIVATIONS, mixed_model, mlp_model
from siren_fastai.models.siren import Sine, siren_model
from siren_fastai.models.widths import scale_widths_
from siren_fastai.models.wire import wire_model
from siren_fastai.names import MODEL_KINDS

pytestmark = pytest.mark.numerics

SIZES = (2, 3, 8, 1)  # n_in, n_out, hidden_features, hidden_layers
NETWORKS = {
    "tapering": lambda: siren_model([2, 12, 9, 5, 3]),
    "two omegas": lambda: siren_model([2, 8, 8, 3], omega_0=50.0, hidden_omega_0=20.0),
    "no biases": lambda: siren_model([2, 8, 8, 3], bias=False),
    "sine output": lambda: siren_model([2, 8, 3], final="sine"),
    "one layer": lambda: siren_model([2, 3]),
    "features": lambda: add_features_(siren_model([2, 8, 8, 3]), torch.rand(5, 4, 2)),
    "clusters": lambda: ClusterNetworks([siren_model([2, n, 3]) for n in (4, 6)], torch.randint(2, (5, 4))),
    "scaled field": lambda: scale_widths_(field_model("siren", hidden_features=4, hidden_layers=1), 2),
    "by hand": lambda: nn.Sequential(nn.Linear(2, 8), Sine(25.0), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(2, 8), nn.ReLU()), nn.Linear(8, 3)),
    **{name: lambda name=name: mlp_model(*SIZES, activation=name) for name in ACTIVATIONS},
    "mixed": lambda: mixed_model(*SIZES),
    "gauss": lambda: gauss_model(*SIZES, sigma_0=7.0),
    "finer": lambda: finer_model(*SIZES, omega_0=20.0, scale_gradient=True),
    "wire": lambda: wire_model(*SIZES, omega_0=15.0, sigma_0=12.0),
    "nerf": lambda: nerf_model(*SIZES, n_frequencies=3),
    "no frequencies": lambda: nerf_model(*SIZES, n_frequencies=0),
    "fourier": lambda: fourier_model(*SIZES, n_features=6),
    "rbf": lambda: rbf_model(*SIZES, n_centres=7),
    "grid": lambda: grid_model((5, 4), 3),
    **{
        f"{kind} field": lambda kind=kind: field_model(kind, hidden_features=8, hidden_layers=1) for kind in MODEL_KINDS
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_rebuilt_from_json_with_the_same_function(name):
    model = NETWORKS[name]()
    again = build_model(json.loads(json.dumps(describe_model(model))))
    assert type(again) is type(model) and shapes_of(again) == shapes_of(model)
    again.load_state_dict(model.state_dict())
    coords = torch.rand(20, 2) * 2 - 1
    assert torch.equal(again(coords), model(coords))


@pytest.mark.parametrize(
    "model", [nn.Conv1d(2, 3, 1), nn.Sequential(nn.Linear(2, 3), nn.Dropout()), nn.Sequential(nn.ELU(alpha=0.5))]
)
def test_a_network_of_unknown_modules_cannot_be_described(model):
    with pytest.raises(TypeError, match="cannot be described in a file without code: use .* `learn.export`"):
        describe_model(model)


class Mine(nn.Sequential):
    """A sequence with a forward of its own, which a file cannot hold."""


def test_subclasses_are_not_taken_for_their_parents():
    with pytest.raises(TypeError, match="a network with a Mine cannot be described"):
        describe_model(Mine(nn.Linear(2, 3)))


LINEAR = {"layer": "linear", "n_in": 2, "n_out": 3, "bias": True}


@pytest.mark.parametrize(
    "description, message",
    [
        ([1], "must be the description of a network"),
        ({"layer": "linear", "n_in": 0, "n_out": 3, "bias": True}, "`n_in` of a layer must be an integer of 1 or more"),
        ({"layer": "linear", "n_in": 2.5, "n_out": 3, "bias": True}, "`n_in` of a layer must be an integer"),
        ({"layer": "linear", "n_in": 2}, "missing"),
        ({**LINEAR, "evil": 1}, "unexpected"),
        ({"layer": "os.system", "layers": [], "shape": [1]}, "unknown kind 'os.system'"),
        ({"layer": "activation", "name": "system"}, "an activation must be one of"),
        ({"layer": "positional_encoding", "n_in": 2, "n_frequencies": 10**9}, "`n_frequencies` must be from 0 to 64"),
        ({"layer": "value_grid", "shape": [2] * 40, "n_out": 1}, "the shape of a layer must be up to 9 integers"),
        ({"layer": "features", "shape": "ab", "layers": []}, "the shape of a layer"),
        ({"kind": "siren", "n_parameters": 10**12}, "without `n_parameters`"),
    ],
)
def test_impossible_descriptions_are_refused(description, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build_model(description)


def test_descriptions_are_not_nested_without_end():
    description = LINEAR
    for _ in range(50):
        description = {"layer": "sequential", "layers": [description]}
    with pytest.raises(ValueError, match="must be the description of a network"):
        build_model(description)
