"""Networks: parameter counts, the formula, derivatives against closed forms, folding."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook

from siren_fastai.models.fold import fold_, unfold_
from siren_fastai.models.siren import Sine, SineLayer, sine_layers, siren_layer, siren_model
from siren_fastai.models.widths import scale_widths

pytestmark = pytest.mark.numerics

NOTE = [2, 256, 128, 64, 32, 3]


def n_params(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("mult, expected", [(1, 44_099), (2, 174_211), (4, 692_483)])
def test_parameter_counts_of_the_notes_network(mult, expected):
    assert n_params(siren_model(scale_widths(NOTE, mult))) == expected
    assert n_params(siren_model(scale_widths(NOTE, mult), final="sine")) == expected


def reference(model, x, omega_0):
    """The official formula, written out with matrix products."""
    for layer in list(model)[:-1]:
        x = torch.sin(omega_0 * (x @ layer.linear.weight.T + layer.linear.bias))
    return x @ model[-1].weight.T + model[-1].bias


def test_forward_and_gradients_equal_the_formula():
    model = siren_model([2, 32, 16, 3]).double()
    x = torch.rand(50, 2, dtype=torch.double) * 2 - 1
    torch.testing.assert_close(model(x), reference(model, x, 30.0))
    ours = torch.autograd.grad(model(x).square().sum(), model.parameters())
    theirs = torch.autograd.grad(reference(model, x, 30.0).square().sum(), model.parameters())
    torch.testing.assert_close(ours, theirs)


def test_a_linear_layer_and_a_sine_are_a_sine_layer():
    layer = siren_layer(2, 5, omega_0=7.0)
    x = torch.rand(6, 2)
    torch.testing.assert_close(nn.Sequential(layer.linear, Sine(7.0))(x), layer(x))


def test_fused_layer_passes_gradcheck_twice():
    layer = siren_layer(3, 4, omega_0=3.0).double()
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_gradient_and_laplacian_of_one_layer_have_their_closed_form():
    layer = siren_layer(2, 1, omega_0=5.0, first=True).double()
    weight, bias = layer.linear.weight[0].detach(), layer.linear.bias.detach()
    x = torch.rand(7, 2, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    laplacian = sum(torch.autograd.grad(gradient[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    phase = 5.0 * (x.detach() @ weight + bias)
    torch.testing.assert_close(gradient, 5.0 * torch.cos(phase)[:, None] * weight)
    torch.testing.assert_close(laplacian, -25.0 * weight.square().sum() * torch.sin(phase))


def test_deep_laplacian_equals_that_of_plain_operators():
    model = siren_model([2, 16, 16, 1], omega_0=4.0).double()

    def laplacian(f):
        x = torch.linspace(-1, 1, 12, dtype=torch.double).view(6, 2).requires_grad_()
        (g,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        return sum(torch.autograd.grad(g[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))

    torch.testing.assert_close(laplacian(model), laplacian(lambda x: reference(model, x, 4.0)))


def test_torch_func_works_on_the_fused_layer():
    model = siren_model([2, 8, 1])
    x = torch.rand(6, 2)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda p: model(p[None])[0]))(x)
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(y).sum(), y)
    torch.testing.assert_close(jacobian[:, 0], expected)


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (4, 5, 2), (2,)])
def test_any_leading_shape_passes(shape):
    assert siren_model([2, 8, 3])(torch.zeros(shape)).shape == (*shape[:-1], 3)


def test_official_initialisation_bounds():
    model = siren_model([2, 4000, 500, 3])
    first, hidden, last = model[0].linear, model[1].linear, model[2]
    for weight, bound in [
        (first.weight, 1 / 2),
        (hidden.weight, math.sqrt(6 / 4000) / 30),
        (last.weight, math.sqrt(6 / 500) / 30),
    ]:
        assert 0.98 * bound < weight.abs().max() <= bound
    assert 0.98 / math.sqrt(2) < first.bias.abs().max() <= 1 / math.sqrt(2)


def test_gain_multiplies_the_coordinates():
    layer = siren_layer(2, 8, first=True)
    x = torch.rand(4, 2)
    expected = layer(3.0 * x)
    layer.gain = 3.0
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("omega_0, gain", [(30.0, 1.0), (12.0, 1 / 0.57792791)])
def test_fold_and_unfold_keep_the_function(omega_0, gain):
    model = siren_model([2, 64, 64, 3], omega_0=omega_0)
    model[0].gain = gain
    x = torch.rand(100, 2) * 2 - 1
    expected, folded = model(x), fold_(copy.deepcopy(model))
    assert all(layer.omega_0 == 1.0 and layer.gain == 1.0 for layer in sine_layers(folded))
    assert (folded(x) - expected).abs().max() <= 1e-5
    assert (unfold_(folded, omega_0)(x) - expected).abs().max() <= 1e-5


def test_folding_changes_training_at_equal_rate():
    plain = siren_model([2, 16, 1])
    folded, x = fold_(copy.deepcopy(plain)), torch.rand(32, 2)
    for model in (plain, folded):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        model(x).square().mean().backward()
        optimizer.step()
    assert (plain(x) - folded(x)).abs().max() > 1e-4


@pytest.mark.parametrize("omega_0, hidden", [(10, 10), (40, 40), (100, 100), (3000, 30)])
def test_hidden_layers_follow_omega_0_unless_it_is_that_of_sound(omega_0, hidden):
    model = siren_model([1, 32, 32, 32, 1], omega_0)
    assert [layer.omega_0 for layer in sine_layers(model)] == [omega_0, hidden, hidden]
    assert model[1].linear.weight.abs().max().item() == pytest.approx((6 / 32) ** 0.5 / hidden, rel=0.02)
    asked_for = siren_model([1, 8, 8, 1], omega_0, hidden_omega_0=omega_0)
    assert [layer.omega_0 for layer in sine_layers(asked_for)] == [omega_0, omega_0]


def test_bias_free_layers_and_final_sine():
    model = siren_model([2, 8, 8, 3], bias=False)
    assert model[0].linear.bias is None and model[-1].bias is not None
    sine = siren_model([2, 8, 3], final="sine")
    assert isinstance(sine[-1], SineLayer) and sine(torch.rand(9, 2)).abs().max() <= 1
    assert isinstance(siren_model([2, 3])[0], nn.Linear)


def test_mixed_precision_uses_pytorchs_own_operators():
    model, x = siren_model([2, 16, 16, 3]), torch.rand(10, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16


HOOKS = {
    "forward": lambda linear, hook: linear.register_forward_hook(hook),
    "forward_pre": lambda linear, hook: linear.register_forward_pre_hook(hook),
    "backward": lambda linear, hook: linear.register_full_backward_hook(hook),
    "backward_pre": lambda linear, hook: linear.register_full_backward_pre_hook(hook),
    "global forward": lambda _, hook: register_module_forward_hook(hook),
    "global backward": lambda _, hook: register_module_full_backward_hook(hook),
}


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_of_every_kind_on_the_linear_part_are_called(kind):
    model, seen = siren_model([2, 8, 3]), []
    handle = HOOKS[kind](model[0].linear, lambda module, *_: seen.append(module))
    model(torch.rand(5, 2, requires_grad=True)).sum().backward()
    handle.remove()
    assert sum(module is model[0].linear for module in seen) == 1


class DoubledLinear(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 2)])
def test_a_linear_part_that_computes_something_else_is_honoured(shape):
    layer, x = SineLayer(2, 8), torch.rand(shape)
    weight, bias = layer.linear.weight, layer.linear.bias
    layer.linear = DoubledLinear(2, 8)
    layer.linear.weight, layer.linear.bias = weight, bias
    torch.testing.assert_close(layer(x), torch.sin(30 * 2 * (x @ weight.T + bias)))


def test_a_linear_part_whose_forward_was_replaced_is_honoured():
    layer, x = SineLayer(2, 8), torch.rand(5, 2)
    layer.linear.forward = lambda x: torch.zeros(5, 8)
    assert not layer(x).any()


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_a_traced_network_computes_the_same():
    model, x = siren_model([2, 8, 3]), torch.rand(5, 2)
    torch.testing.assert_close(torch.jit.trace(model, x)(x[:3]), model(x[:3]))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: siren_model([2]), ValueError, "at least two"),
        (lambda: siren_model([2, 0, 3]), ValueError, "1 or more"),
        (lambda: siren_model([2, 8.0, 3]), ValueError, "integer widths"),
        (lambda: siren_model("2,3"), TypeError, "list of widths"),
        (lambda: siren_model([2, 8, 3], omega_0=0), ValueError, "above 0"),
        (lambda: siren_model([2, 8, 3], final="relu"), ValueError, "'linear' or 'sine'"),
        (lambda: unfold_(siren_model([2, 8, 3]), -1), ValueError, "`omega_0`"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
