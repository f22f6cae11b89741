"""Small networks of every kind that a web page draws."""

import torch
from torch import nn

from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.field import field_model
from siren_fastai.models.mlp import ACTIVATIONS, dense_model
from siren_fastai.models.siren import Sine, siren_model

FAMILIES = {
    "siren": {},
    "mixed": {},
    "nerf": {"sidelength": 32},
    "rbf": {"n_features": 13, "sigma_0": 3.0},
    "fourier": {"n_features": 7},
    "gauss": {"sigma_0": 3.0},
    "wire": {"sigma_0": 3.0},
    "finer": {},
    **{name: {} for name in ACTIVATIONS},
}


def networks() -> dict[str, nn.Module]:
    """By name: the families of `field_model`, and what else can be put together."""
    torch.manual_seed(0)
    sizes = {"hidden_features": 10, "hidden_layers": 2}
    found = {name: field_model(name, **sizes, **settings) for name, settings in FAMILIES.items()}
    found["gray"] = siren_model([2, 9, 7, 1], omega_0=40.0, hidden_omega_0=20.0)
    found["sine_output"] = siren_model([2, 9, 3], final="sine")
    found["tanh_output"] = dense_model([2, 9, 9, 3], "tanh", final="tanh")
    found["one_layer"] = nn.Linear(2, 3)
    found["gain"] = siren_model([2, 8, 8, 3], bias=False)
    found["gain"][0].gain = 1.7
    loose = (nn.Linear(2, 6), Sine(12.0), nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Tanh()), nn.Linear(5, 3))
    found["by_hand"] = nn.Sequential(*loose)
    found["features"] = FeatureInput(siren_model([5, 12, 8, 3]), torch.eye(3)[torch.randint(3, (4, 6))])
    nets = [siren_model([2, width, 6, 3]) for width in (5, 9, 12)]
    found["clusters"] = ClusterNetworks(nets, torch.randint(3, (5, 3)))
    return found


def value_range(model: nn.Module) -> tuple[float, float]:
    """The least and the greatest value at 400 positions, so that a page shows all grey levels of any network."""
    with torch.no_grad():
        values = model(torch.rand(400, 2) * 2 - 1)
    return values.min().item(), values.max().item()
