"""Changing a network that exists: hidden widths, further inputs, features stored on a grid."""

import pytest
import torch
from torch import nn

from siren_fastai.coords import grid_coords
from siren_fastai.models.features import FeatureInput, widen_input_
from siren_fastai.models.siren import scale_widths, siren_model
from siren_fastai.models.widths import scale_widths_


@pytest.mark.parametrize("mult", [0.5, 1, 2, 3.3])
def test_scaling_a_network_equals_building_it_scaled(mult):
    dims = [2, 16, 8, 3]
    scaled, built = scale_widths_(siren_model(dims), mult), siren_model(scale_widths(dims, mult))
    assert {k: v.shape for k, v in scaled.state_dict().items()} == {k: v.shape for k, v in built.state_dict().items()}
    assert scaled(torch.rand(5, 2)).shape == (5, 3)


def test_scaled_sine_layers_are_drawn_by_the_official_rule():
    model = scale_widths_(siren_model([2, 100, 100, 3]), 10)
    for weight, bound in ((model[0].linear.weight, 0.5), (model[1].linear.weight, (6 / 1000) ** 0.5 / 30)):
        assert 0.98 * bound < weight.abs().max() <= bound
    assert model[2].weight.abs().max() <= (6 / 1000) ** 0.5 / 30


def test_batch_norm_between_linear_layers_is_widened():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    scale_widths_(model, 2)
    assert model[0].num_features == 4 and model[2].num_features == 16 and model(torch.rand(5, 4)).shape == (5, 2)


@pytest.mark.parametrize(
    "model, message",
    [
        (nn.Linear(2, 3), "two linear layers"),
        (nn.Sequential(nn.Linear(2, 8), nn.Linear(4, 3)), "chain"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 8), nn.Linear(8, 3)), "Conv2d"),
    ],
)
def test_networks_that_cannot_be_scaled_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        scale_widths_(model, 2)


def test_widened_inputs_keep_the_old_columns_and_their_deviation():
    model = siren_model([2, 2000, 3])
    old = model[0].linear.weight.detach().clone()
    weight = widen_input_(model, 2)[0].linear.weight.detach()
    assert torch.equal(weight[:, :2], old)
    assert weight[:, 2:].std().item() == pytest.approx(old.std().item(), rel=0.05)
    with pytest.raises(ValueError, match="linear layer"):
        widen_input_(nn.ReLU(), 1)


@pytest.mark.parametrize("shape", [(5,), (4, 7), (2, 3, 4)])
def test_each_pixel_centre_reads_its_own_feature(shape):
    features = torch.rand(*shape, 2)
    model = FeatureInput(siren_model([len(shape) + 2, 4, 1]), features)
    assert torch.equal(model.lookup(grid_coords(shape)), features.view(-1, 2))
    outside = torch.full((1, len(shape)), 1.5)
    assert torch.equal(model.lookup(outside)[0], features[(-1,) * len(shape)])


def test_features_join_the_inputs_and_travel_with_the_model():
    net = siren_model([3, 4, 1])
    model = FeatureInput(net, torch.rand(4, 4, 1))
    coords = torch.rand(6, 2) * 2 - 1
    torch.testing.assert_close(model(coords), net(torch.cat([coords, model.lookup(coords)], 1)))
    assert {"features", "0.linear.weight"} <= set(model.state_dict())
