"""Changing a network that exists: hidden widths, further inputs, features stored on a grid."""

import pytest
import torch
from fastai.tabular.model import TabularModel
from torch import nn

from siren_fastai.coords import grid_coords
from siren_fastai.init import apply_init_
from siren_fastai.models.encodings import fourier_model, rbf_model
from siren_fastai.models.features import FeatureInput, add_features_, widen_input_
from siren_fastai.models.finer import finer_model
from siren_fastai.models.siren import siren_model
from siren_fastai.models.widths import scale_widths, scale_widths_


@pytest.mark.parametrize("mult", [0.5, 1, 2, 3.3])
def test_scaling_a_network_equals_building_it_scaled(mult):
    dims = [2, 16, 8, 3]
    scaled, built = scale_widths_(siren_model(dims), mult), siren_model(scale_widths(dims, mult))
    assert {k: v.shape for k, v in scaled.state_dict().items()} == {k: v.shape for k, v in built.state_dict().items()}
    assert scaled(torch.rand(5, 2)).shape == (5, 3)


@pytest.mark.parametrize("scheme", ["siren", "fast", 33])
def test_scaled_layers_are_as_large_as_the_scheme_draws_the_wider_network(scheme):
    scaled = scale_widths_(apply_init_(siren_model([2, 100, 100, 3]), scheme), 10)
    built = apply_init_(siren_model([2, 1000, 1000, 3]), scheme)
    for name, value in scaled.named_parameters():
        if name.endswith("weight"):
            assert value.std().item() == pytest.approx(built.get_parameter(name).std().item(), rel=0.1), name


def test_scaled_dims_keep_inputs_and_outputs():
    assert scale_widths([2, 256, 128, 64, 32, 3], 2) == [2, 512, 256, 128, 64, 3]
    assert scale_widths((2, 4, 3), 0.1) == [2, 1, 3]
    with pytest.raises(ValueError, match="`mult` must be above 0, got 0"):
        scale_widths([2, 8, 3], 0)


def test_the_rows_of_a_scaled_first_layer_are_mirrored_old_ones_of_similar_length():
    model = apply_init_(siren_model([2, 50, 3]), "fast")
    old = model[0].linear.weight.detach().clone()
    new = scale_widths_(model, 4)[0].linear.weight.detach()
    steepness = old[:, 1].abs() / old[:, 0].abs()
    distances = (new[:, 1].abs() / new[:, 0].abs())[:, None] / steepness - 1
    source = distances.abs().argmin(1)
    assert distances.gather(1, source[:, None]).abs().max() < 1e-3
    assert source.bincount(minlength=50).tolist() == [4] * 50
    ranks, lengths = old.norm(dim=1).argsort().argsort(), old.norm(dim=1).sort().values
    for row, rank in zip(new.norm(dim=1), ranks[source], strict=True):
        assert lengths[max(rank - 1, 0)] * 0.999 <= row <= lengths[min(rank + 1, 49)] * 1.001


def test_a_first_layer_of_zeros_stays_one():
    model = siren_model([2, 4, 3])
    torch.nn.init.zeros_(model[0].linear.weight)
    assert torch.equal(scale_widths_(model, 3)[0].linear.weight.detach(), torch.zeros(12, 2))


def test_scaled_layers_keep_their_phases_and_the_output_its_bias():
    model = apply_init_(siren_model([2, 100, 100, 3]), "fast")
    with torch.no_grad():
        model[1].linear.bias.add_(7.0), model[2].bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    old = {name: value.detach().clone() for name, value in model.named_parameters()}
    scale_widths_(model, 10)
    assert torch.equal(model[2].bias, old["2.bias"])
    for name in ("0.linear.bias", "1.linear.bias"):
        new = model.get_parameter(name)
        assert new.mean().item() == pytest.approx(old[name].mean().item(), abs=0.2)
        assert new.std().item() == pytest.approx(old[name].std(correction=0).item(), rel=0.1)


def test_families_other_than_siren_keep_their_scale_too():
    model = scale_widths_(finer_model(2, 3, hidden_features=64, hidden_layers=1, first_bias=20.0), 2)
    assert model[1].linear.weight.std().item() == pytest.approx((2 / 128) ** 0.5 / 30, rel=0.1)
    assert model[0].linear.bias.std().item() == pytest.approx(20 / 3**0.5, rel=0.25)


def test_batch_norm_between_linear_layers_is_widened():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    scale_widths_(model, 2)
    assert model[0].num_features == 4 and model[2].num_features == 16 and model(torch.rand(5, 4)).shape == (5, 2)


@pytest.mark.parametrize(
    "model, inputs",
    [
        (
            nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1)),
            [torch.ones(3, 2).long()],
        ),
        (fourier_model(2, 3, hidden_features=6, hidden_layers=1, n_features=4), [torch.rand(3, 2)]),
        (rbf_model(2, 3, hidden_features=6, hidden_layers=1, n_centres=4), [torch.rand(3, 2)]),
        (
            TabularModel([(4, 3)], n_cont=2, out_sz=1, layers=[6], use_bn=False),
            [torch.ones(3, 1).long(), torch.rand(3, 2)],
        ),
    ],
)
def test_what_comes_before_the_first_linear_layer_stays(model, inputs):
    model.eval()
    shape, first = model(*inputs).shape, next(m for m in model.modules() if isinstance(m, nn.Linear))
    before = {name: value.clone() for name, value in model.state_dict().items() if value.shape[:1] != (6,)}
    scale_widths_(model, 2)
    assert model(*inputs).shape == shape and first.out_features == 12
    changed = [name for name, value in before.items() if not torch.equal(value, model.state_dict()[name])]
    assert len(changed) == 1 and changed[0].endswith("weight")  # the output layer's


@pytest.mark.parametrize(
    "model, message",
    [
        (nn.Linear(2, 3), "two linear layers"),
        (nn.Sequential(nn.Linear(2, 8), nn.Linear(4, 3)), "chain"),
        (nn.Sequential(nn.Linear(2, 8), nn.Conv1d(8, 8, 1), nn.Linear(8, 3)), "Conv1d"),
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


def test_features_are_added_once():
    net, features = siren_model([2, 4, 1]), torch.rand(4, 4, 3)
    model = add_features_(net, features)
    assert model[0].linear.in_features == 5 and add_features_(model, features.clone()) is model
    with pytest.raises(ValueError, match="other features already"):
        add_features_(model, torch.rand(4, 4, 2))
    with pytest.raises(ValueError, match="read 2 coordinates, got 5 inputs"):
        add_features_(net, features)
    assert net[0].linear.in_features == 5
