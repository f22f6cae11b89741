"""Derivatives of networks: against formulas and finite differences, without gradients, in training, of every layer."""

import copy
import math

import pytest
import torch
from torch import nn

from siren_fastai.models.chain_rule import has_written_slopes
from siren_fastai.models.derivatives import GradientOf, LaplacianOf
from siren_fastai.models.field import field_model
from siren_fastai.models.finer import finer_model
from siren_fastai.models.siren import siren_model

pytestmark = pytest.mark.numerics


class Waves(nn.Module):
    """sin(2 y) + y x^2 and exp(y) cos(3 x) - z, where z is a third input, if there is one."""

    def forward(self, x):
        y, x, *rest = x.unbind(1)
        first, second = (2 * y).sin() + y * x**2, y.exp() * (3 * x).cos()
        return torch.stack([first, second - sum(rest)], dim=1)


def positions(n=50, d=2, seed=0):
    return torch.rand(n, d, dtype=torch.double, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def sirens(dims=(2, 16, 16, 3), seed=0, **options):
    torch.manual_seed(seed)
    return siren_model(list(dims), omega_0=5.0, **options).double()


def test_gradients_are_those_of_the_formula_channel_by_channel():
    coords = positions()
    y, x = coords.unbind(1)
    first = torch.stack([2 * (2 * y).cos() + x**2, 2 * y * x], 1)
    second = torch.stack([y.exp() * (3 * x).cos(), -3 * y.exp() * (3 * x).sin()], 1)
    torch.testing.assert_close(GradientOf(Waves())(coords), torch.cat([first, second], 1))


def test_the_laplacian_is_that_of_the_formula():
    coords = positions(d=3)
    y, x, _ = coords.unbind(1)
    expected = torch.stack([-4 * (2 * y).sin() + 2 * y, -8 * y.exp() * (3 * x).cos()], 1)
    torch.testing.assert_close(LaplacianOf(Waves())(coords), expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gradients_of_a_network_are_its_finite_differences(d):
    network, coords, step = sirens((d, 16, 16, 2)), positions(d=d), 1e-5
    moved = [
        (network(coords + step * torch.eye(d)[i]) - network(coords - step * torch.eye(d)[i])) / (2 * step)
        for i in range(d)
    ]
    torch.testing.assert_close(GradientOf(network)(coords).view(50, 2, d), torch.stack(moved, 2), rtol=1e-6, atol=1e-7)


def test_the_laplacian_is_the_trace_of_the_hessian():
    network, coords = sirens(), positions()
    hessian = GradientOf(GradientOf(network))(coords).view(50, 3, 2, 2)
    torch.testing.assert_close(LaplacianOf(network)(coords), hessian.diagonal(dim1=2, dim2=3).sum(-1))
    torch.testing.assert_close(hessian, hessian.mT)


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_work_without_gradients_and_keep_no_graph(derivative, mode):
    module, coords = derivative(sirens()), positions()
    expected = module(coords).detach()
    with mode():
        found = module(coords.clone())
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)
    assert all(p.grad is None for p in module.parameters()) and not coords.requires_grad


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
def test_training_a_derivative_has_the_gradients_of_finite_differences(derivative):
    network, coords = sirens((2, 8, 8, 2)), positions(12)
    module = derivative(network)
    module(coords).square().mean().backward()
    for weight in (network[0].linear.weight, network[1].linear.bias, network[2].weight):
        with torch.no_grad():
            step, losses = 1e-6, []
            for sign in (1, -2):
                weight[0] += sign * step
                losses.append(module(coords).square().mean().item())
            weight[0] += step
        assert math.isclose((losses[0] - losses[1]) / (2 * step), weight.grad[0].sum().item(), rel_tol=1e-5)


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
def test_the_fused_sine_layer_has_the_derivatives_of_plain_operators(derivative):
    network, coords = sirens(), positions()
    plain = sirens()
    for layer in plain[:-1]:
        layer.linear.register_forward_hook(lambda *_: None)  # hooks are run, so the layer isn't fused
    assert network[0].fusable(coords) and not plain[0].fusable(coords)
    fused, expected = derivative(network)(coords), derivative(plain)(coords)
    torch.testing.assert_close(fused, expected)
    for found, wanted in zip((fused, expected), (network, plain), strict=True):
        found.square().mean().backward()
        assert wanted[0].linear.weight.grad.abs().max() > 0
    torch.testing.assert_close(network[1].linear.weight.grad, plain[1].linear.weight.grad)


@pytest.mark.parametrize("dims", [(1, 8, 1), (2, 16, 16, 3), (3, 8, 12, 8, 2)])
def test_the_chain_rule_written_out_is_automatic_differentiation(dims):
    network, coords = sirens(dims), positions(d=dims[0])
    network[0].gain, network[-2].omega_0 = 1.7, 3.0
    hooked = copy.deepcopy(network)
    hooked.register_forward_hook(lambda *_: None)  # which only a call of the network runs
    assert has_written_slopes(network, coords) and not has_written_slopes(hooked, coords)
    found, expected = GradientOf(network)(coords), GradientOf(hooked)(coords)
    torch.testing.assert_close(found, expected)
    for slopes in (found, expected):
        (slopes**3).sum().backward()
    for weight, wanted in zip(network.parameters(), hooked.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, wanted.grad)


def test_networks_that_are_no_plain_sirens_are_left_to_automatic_differentiation():
    coords = positions()
    others = (sirens(final="sine"), sirens(bias=False), finer_model(2, 1, 8, 1, scale_gradient=True).double())
    for network in (*others, nn.Sequential(nn.Linear(2, 2)).double(), Waves()):
        assert not has_written_slopes(network, coords)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not has_written_slopes(sirens(), coords)


@pytest.mark.parametrize("family", ["siren", "wire", "gauss", "fourier", "rbf", "nerf"])
def test_every_smooth_family_has_a_gradient(family):
    torch.manual_seed(0)
    network = field_model(family, n_out=1, hidden_features=8, hidden_layers=1).double()
    coords = positions(20)
    module = GradientOf(network)
    with torch.no_grad():
        found, step = module(coords), 1e-6
        moved = (network(coords + torch.tensor([step, 0])) - network(coords - torch.tensor([step, 0]))) / (2 * step)
    torch.testing.assert_close(found[:, :1], moved, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
def test_finer_needs_its_whole_gradient(derivative):
    with pytest.raises(ValueError, match="scale_gradient = True"):
        derivative(finer_model(2, 1, 8, 1))
    network, coords = finer_model(2, 1, 8, 1, scale_gradient=True).double(), positions(20)
    step = torch.tensor([1e-6, 0])
    moved = (network(coords + step) - network(coords - step)) / 2e-6
    torch.testing.assert_close(GradientOf(network)(coords)[:, :1], moved, rtol=1e-4, atol=1e-4)


def test_a_linear_network_has_a_constant_slope_and_no_curvature():
    network, coords = nn.Linear(2, 3), positions(5).float()
    for trained in (True, False):
        network.requires_grad_(trained)
        torch.testing.assert_close(GradientOf(network)(coords)[0], network.weight.flatten())
        assert not LaplacianOf(network)(coords).any()


def test_states_go_from_a_network_to_its_gradient_and_back():
    network, module = sirens(seed=1), GradientOf(sirens())
    module.network.load_state_dict(network.state_dict())
    torch.testing.assert_close(module(positions()), GradientOf(network)(positions()))


@pytest.mark.parametrize("coords", [torch.zeros(3), torch.zeros(3, 2, dtype=torch.long)])
def test_anything_but_positions_is_an_error(coords):
    with pytest.raises(ValueError, match=r"must be floats \(n, d\)"):
        GradientOf(sirens())(coords)


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
def test_no_positions_have_no_derivatives_and_values_without_channels_are_an_error(derivative):
    with torch.no_grad():
        assert len(derivative(sirens())(positions()[:0])) == 0
    with pytest.raises(ValueError, match=r"must give values \(n, c\)"):
        derivative(nn.Sequential(sirens(), nn.Flatten(0)))(positions())
