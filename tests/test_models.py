"""Every family of coordinate networks: shapes, counts by formula, initialisation, rebuilding, gradients, fits."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from siren_fastai.models.encodings import FourierFeatures, PositionalEncoding, RadialBasis, nerf_frequencies
from siren_fastai.models.families import FAMILIES
from siren_fastai.models.field import (
    Field,
    count_parameters,
    field_model,
    siren_field,
)
from siren_fastai.models.finer import FinerLayer, finer_model
from siren_fastai.models.gauss import GaussLayer, decay
from siren_fastai.models.grid import ValueGrid, grid_shape_for
from siren_fastai.models.mlp import ACTIVATIONS, dense_layer_, mlp_model
from siren_fastai.models.siren import siren_model
from siren_fastai.models.wire import ComplexLinear, GaborLayer, wire_model, wire_width
from siren_fastai.names import MODEL_KINDS

SMALL = dict(hidden_features=24, hidden_layers=1, sidelength=16)


def small(kind, **settings):
    features = {"rbf": 64, "fourier": 16}
    return field_model(kind, **{"n_features": features.get(kind), **SMALL, **settings})


def pixel_centers(height, width):
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)


def dense_count(n_in, n_out, h, layers):
    return h * (n_in + 1) + layers * h * (h + 1) + n_out * (h + 1)


# --- the builder


def test_the_families_are_the_kinds_that_users_choose_from():
    assert tuple(FAMILIES) == MODEL_KINDS


@pytest.mark.parametrize("kind, n_out", [*itertools.product(MODEL_KINDS, (1, 3))])
def test_every_kind_maps_any_leading_shape_for_gray_and_rgb(kind, n_out):
    model = small(kind, n_out=n_out)
    coords = torch.rand(4, 5, 2) * 2 - 1
    values = model(coords)
    assert isinstance(model, Field) and isinstance(model.net, nn.Sequential) and model.kind == kind
    assert values.shape == (4, 5, n_out) and values.isfinite().all() and not values.is_complex()
    torch.testing.assert_close(values[1, 2], model(coords[1, 2]))


@pytest.mark.parametrize("kind", ["sine", "siren"])
def test_the_notes_network_has_its_parameters_and_state_names(kind):
    model = field_model(kind, n_out=1)
    names = [f"net.{i}.linear.{p}" for i in range(4) for p in ("weight", "bias")] + ["net.4.weight", "net.4.bias"]
    assert list(model.state_dict()) == names and count_parameters(model) == 198_401
    assert [tuple(p.shape) for p in model.parameters()][:4] == [(256, 2), (256,), (256, 256), (256,)]


def test_siren_and_sine_are_the_same_thing():
    models = []
    for kind in ("sine", "siren"):
        torch.manual_seed(3)
        models.append(field_model(kind, **SMALL))
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in models), strict=True))


def test_parameter_counts_follow_their_formulas():
    n_in, n_out, h, layers = 2, 3, 20, 2
    sizes = dict(n_in=n_in, n_out=n_out, hidden_features=h, hidden_layers=layers)
    plain, w = dense_count(n_in, n_out, h, layers), wire_width(h)
    expected = {kind: plain for kind in ("sine", "siren", *ACTIVATIONS, "mixed", "gauss", "finer")}
    expected["nerf"] = dense_count(2 + 4 * 6, n_out, h, layers)  # 26 inputs at 256 pixels
    expected["rbf"] = 1024 * 3 + dense_count(1024, n_out, h, layers)  # centres, sigmas
    expected["fourier"] = 256 * 2 + dense_count(512, n_out, h, layers)  # the stored frequencies count
    expected["wire"] = w * 3 + layers * 2 * w * (w + 1) + n_out * (2 * w + 1)
    expected["grid"] = plain // n_out // math.isqrt(plain // n_out) * math.isqrt(plain // n_out) * n_out
    counts = {kind: count_parameters(field_model(kind, **sizes, sidelength=256)) for kind in MODEL_KINDS}
    assert counts == expected


def test_count_parameters_counts_complex_numbers_twice():
    assert count_parameters(nn.Linear(5, 4, dtype=torch.cfloat)) == 2 * count_parameters(nn.Linear(5, 4)) == 48


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_config_survives_json_and_rebuilds_the_network_exactly(kind):
    model = small(kind, n_out=1, n_parameters=1500)
    again = field_model(**json.loads(json.dumps(model.config)))
    assert again.config == model.config and list(again.state_dict()) == list(model.state_dict())
    again.load_state_dict(model.state_dict())
    coords = torch.rand(50, 2) * 2 - 1
    assert torch.equal(again(coords), model(coords))


@pytest.mark.parametrize(
    "settings",
    [
        dict(kind="wire", omega_0=7.0, sigma_0=3.0),
        dict(kind="gauss", sigma_0=3.0),
        dict(kind="finer", first_bias=5.0),
        dict(kind="finer", first_bias=0.0),
        dict(kind="siren", omega_0=12.0),
        dict(kind="siren", dims=(2, 16, 8, 3)),
        dict(kind="grid", grid_shape=(3, 7)),
        dict(kind="nerf", sidelength=(16, 64)),
    ],
)
def test_settings_that_are_not_the_published_ones_are_kept_in_config(settings):
    config = field_model(hidden_features=8, **settings).config
    for name, value in settings.items():
        assert config[name] == (list(value) if isinstance(value, tuple) else value)


def test_a_siren_of_any_widths_is_a_field_with_the_same_weights():
    net = siren_model([2, 12, 6, 3], omega_0=20.0)
    model = siren_field(net)
    assert model.net is net and model.config["dims"] == [2, 12, 6, 3] and model.config["omega_0"] == 20.0
    again = field_model(**json.loads(json.dumps(model.config)))
    assert again.config == model.config
    again.load_state_dict(model.state_dict())
    coords = torch.rand(50, 2) * 2 - 1
    assert torch.equal(again(coords), net(coords)) and again.net[0].omega_0 == 20.0


@pytest.mark.parametrize("net", [nn.Linear(2, 3), siren_model([2, 4, 3], final="sine"), siren_model([2, 3])])
def test_other_networks_are_no_siren_field(net):
    with pytest.raises(ValueError, match="`net` must be sine layers with biases and a linear output"):
        siren_field(net)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_all_parameters_get_a_finite_gradient(kind):
    model = small(kind, n_out=3, grid_shape=[4, 4] if kind == "grid" else None)
    model(pixel_centers(16, 16)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_coordinates_get_a_gradient(kind):
    model = small(kind, grid_shape=[4, 4] if kind == "grid" else None)
    with torch.no_grad():
        for parameter in model.parameters():  # a fresh grid is flat
            parameter.add_(0.01 * torch.randn_like(parameter))
    coords = (torch.rand(9, 2) - 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(model(coords).sum(), coords)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


RATES = {"grid": 0.1, "rbf": 1e-2, "wire": 5e-3}


@pytest.mark.parametrize("kind, n_out", [*itertools.product(MODEL_KINDS, (1, 3))])
def test_a_fit_of_16_by_16_pixels_lowers_the_loss(kind, n_out):
    coords = pixel_centers(16, 16)
    target = (torch.sin(coords @ torch.tensor([[5.0, 2.0, 1.0], [3.0, -4.0, 6.0]]))[:, :n_out] + 1) / 2
    model = small(kind, n_out=n_out, grid_shape=[16, 16] if kind == "grid" else None)
    optimizer = torch.optim.Adam(model.parameters(), RATES.get(kind, 3e-3))
    losses = []
    for _ in range(25):
        loss = F.mse_loss(model(coords), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("n_in", [1, 3])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_kind_takes_one_and_three_coordinates(kind, n_in):
    assert small(kind, n_in=n_in)(torch.rand(7, n_in)).shape == (7, 3)


# --- equal parameter counts


@pytest.mark.parametrize("kind", [k for k in MODEL_KINDS if k != "grid"])
def test_a_budget_chooses_the_widest_network_within_it(kind):
    budget, sizes = 60_000, dict(n_out=1, hidden_layers=2, sidelength=64)
    width = field_model(kind, n_parameters=budget, **sizes).config["hidden_features"]
    assert count_parameters(field_model(kind, hidden_features=width, **sizes)) <= budget
    assert count_parameters(field_model(kind, hidden_features=width + 1, **sizes)) > budget


@pytest.mark.parametrize("budget, width", [(198_401, 256), (198_400, 255)])
def test_the_notes_parameter_count_gives_the_notes_width(budget, width):
    assert field_model("relu", n_out=1, n_parameters=budget).config["hidden_features"] == width


def test_a_budget_draws_the_same_weights_as_its_width():
    torch.manual_seed(1)
    budgeted = field_model("siren", n_parameters=2000)
    torch.manual_seed(1)
    sized = field_model("siren", hidden_features=budgeted.config["hidden_features"])
    assert all(torch.equal(a, b) for a, b in zip(budgeted.parameters(), sized.parameters(), strict=True))


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_no_kind_exceeds_the_budget_nor_wastes_much_of_it(kind):
    count = count_parameters(field_model(kind, n_out=1, n_parameters=198_401, sidelength=256))
    assert 0.985 * 198_401 < count <= 198_401


def test_grid_shape_keeps_the_proportions_within_the_budget():
    assert grid_shape_for(198_401, 1) == [445, 445] and grid_shape_for(300, 3) == [10, 10]
    assert grid_shape_for(3 * 5000, 3, (50, 100)) == [50, 100]
    assert grid_shape_for(7, 1, (1, 1000)) == [1, 7] and grid_shape_for(7, 1, (1000, 1)) == [7, 1]
    assert grid_shape_for(1000, 1, n_in=3) == [10, 10, 10] and grid_shape_for(12, 1, n_in=1) == [12]
    height, width = grid_shape_for(20_000, 3, (481, 321))
    assert height * width * 3 <= 20_000 and abs(height / width / (481 / 321) - 1) < 0.03


# --- initialisation


STD = {
    "relu": lambda n, m: math.sqrt(2 / n),
    "softplus": lambda n, m: math.sqrt(2 / n),
    "tanh": lambda n, m: math.sqrt(2 / (n + m)),
    "selu": lambda n, m: math.sqrt(1 / n),
    "elu": lambda n, m: math.sqrt(1.5505188080679277 / n),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_weights_are_normal_with_the_families_deviation_and_torch_biases(kind):
    linear = dense_layer_(nn.Linear(300, 500), kind)
    std = STD[kind](300, 500)
    assert abs(linear.weight.std().item() / std - 1) < 0.01 and abs(linear.weight.mean().item()) < std / 50
    assert 3.5 * std < linear.weight.abs().max() < 7 * std  # a normal tail, not a uniform's edge
    assert linear.bias.abs().max() <= 1 / math.sqrt(300)
    model = mlp_model(2, 40, 300, 1, kind)
    for layer in (model[1].linear, model[2]):  # the output layer too
        n_out, n_in = layer.weight.shape
        assert abs(layer.weight.std().item() / STD[kind](n_in, n_out) - 1) < 0.05


def test_activations_are_those_of_their_names():
    x = torch.linspace(-3, 3, 13)
    formulas = {
        "relu": x.clamp(min=0),
        "tanh": torch.tanh(x),
        "softplus": torch.log1p(x.exp()),
        "elu": torch.where(x > 0, x, x.expm1()),
        "selu": 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * x.expm1()),
    }
    for kind, formula in formulas.items():
        torch.testing.assert_close(ACTIVATIONS[kind][0]()(x), formula)


def uniform_bound(tensor, bound):
    return 0.97 * bound < tensor.abs().max() <= bound and abs(tensor.std().item() / (bound / math.sqrt(3)) - 1) < 0.06


def test_mixed_is_a_sine_layer_and_then_tanh():
    model = field_model("mixed", hidden_features=200, hidden_layers=2)
    x = torch.rand(6, 2)
    expected = torch.sin(30 * F.linear(x, *model.net[0].linear.parameters()))
    for layer in model.net[1:3]:
        expected = torch.tanh(F.linear(expected, *layer.linear.parameters()))
    torch.testing.assert_close(model(x), F.linear(expected, *model.net[3].parameters()))
    assert uniform_bound(model.net[0].linear.weight, 1 / 2)
    assert abs(model.net[1].linear.weight.std().item() / math.sqrt(2 / 400) - 1) < 0.02


# --- encodings


@pytest.mark.parametrize(
    "sidelength, n", [(256, 6), (512, 7), (255, 5), ((256, 2000), 6), (16, 2), (4, 0), (1, 0), (None, 10)]
)
def test_nerf_octaves_follow_the_nyquist_rule(sidelength, n):
    assert nerf_frequencies(sidelength) == n


@given(st.integers(4, 1 << 20))
def test_nerf_octaves_are_the_papers_formula(sidelength):
    assert nerf_frequencies(sidelength) == math.floor(math.log2(sidelength / 4))


def test_positional_encoding_holds_the_coordinates_and_each_octave():
    encoded = PositionalEncoding(2, 3)(torch.tensor([[0.3, -0.7]]))
    expected = [0.3, -0.7]
    for wave in (math.sin, math.cos):
        expected += [wave(2**i * math.pi * x) for i in range(3) for x in (0.3, -0.7)]
    torch.testing.assert_close(encoded, torch.tensor([expected]))
    assert [PositionalEncoding(2, n).n_out for n in (6, 7)] == [26, 30]


def test_fourier_features_are_the_formula_and_their_frequencies_are_stored():
    encoding = FourierFeatures(2, 2000, sigma_0=10.0)
    x = torch.rand(5, 2) * 2 - 1
    phase = 2 * math.pi * ((x.double() + 1) / 2) @ encoding.frequencies.double().t()
    expected = torch.cat([phase.cos(), phase.sin()], 1).float()
    torch.testing.assert_close(encoding(x), expected, atol=2e-4, rtol=0)
    assert abs(encoding.frequencies.std().item() - 10) < 0.3
    assert "net.0.frequencies" in field_model("fourier").state_dict()
    assert not list(encoding.parameters())


def test_fourier_network_is_initialised_as_its_authors_do():
    model = field_model("fourier", hidden_features=300)
    linear = model.net[2].linear
    assert abs(linear.weight.std().item() / math.sqrt(2 / 600) - 1) < 0.02
    assert abs(linear.bias.std().item() / 0.01 - 1) < 0.15


def test_radial_basis_squares_the_distance_twice():
    layer = RadialBasis(2, 7, sigma_0=3.0).double()
    x = torch.rand(5, 2, dtype=torch.double)
    distances = torch.cdist(x, layer.centres).square()
    torch.testing.assert_close(layer(x), torch.exp(-((3 * distances) ** 2)))
    assert uniform_bound(RadialBasis(2, 1024).centres, 1) and (RadialBasis(2).sigmas == 10).all()


# --- gauss, wire, finer


def test_gauss_layer_is_its_formula_with_torch_initialisation():
    layer = GaussLayer(5, 400, sigma_0=2.0)
    x = torch.randn(6, 5)
    torch.testing.assert_close(layer(x), torch.exp(-((2 * layer.linear(x)) ** 2)))
    assert uniform_bound(layer.linear.weight, 1 / math.sqrt(5))


def test_decay_is_the_exponential_without_subnormal_numbers():
    x = torch.linspace(-200, 0, 4001)
    values = decay(x)
    torch.testing.assert_close(values, x.exp(), atol=1e-20, rtol=0)
    assert ((values == 0) | (values > 1e-20)).all() and (values[x > -46] > 0).all()


def complex_wire(model, x):
    """The published formula on complex tensors."""
    h = x.to(torch.cdouble)
    for layer in model[:-1]:
        weight, bias = layer.linear.weight, layer.linear.bias
        if not layer.first:
            weight, bias = torch.complex(*weight), torch.complex(*bias)
        z = h @ weight.to(torch.cdouble).t() + bias
        h = torch.exp(1j * layer.omega_0 * z - (layer.sigma_0 * z.abs()) ** 2)
    real, imaginary = model[-1].weight.chunk(2, dim=1)
    return (h @ torch.complex(real, -imaginary).t() + model[-1].bias).real


def test_wire_on_real_pairs_equals_the_complex_network_and_its_gradients():
    model = wire_model(2, 3, 12, 2, omega_0=5.0, sigma_0=2.0).double()
    x = torch.rand(20, 2, dtype=torch.double) * 2 - 1
    torch.testing.assert_close(model(x), complex_wire(model, x))
    ours = torch.autograd.grad(model(x).square().sum(), model.parameters())
    theirs = torch.autograd.grad(complex_wire(model, x).square().sum(), model.parameters())
    torch.testing.assert_close(ours, theirs)


def test_wire_widths_and_initialisation_are_those_of_torch_on_complex_numbers():
    assert [wire_width(h) for h in (256, 20, 1)] == [181, 14, 1]
    reference = nn.Linear(90, 300, dtype=torch.cfloat)
    ours = ComplexLinear(90, 300)
    assert uniform_bound(ours.weight, 1 / math.sqrt(90)) and uniform_bound(ours.bias, 1 / math.sqrt(90))
    for part, index in ((reference.weight.real, 0), (reference.weight.imag, 1)):
        assert abs(part.std().item() / ours.weight[index].std().item() - 1) < 0.03
    model = wire_model(2, 200, 256, 1)
    assert uniform_bound(model[-1].weight, 1 / math.sqrt(181))
    assert isinstance(model[0].linear, nn.Linear) and isinstance(model[1], GaborLayer)
    assert not any(p.is_complex() for p in model.parameters())


def test_finer_layer_is_its_formula():
    layer = FinerLayer(3, 4, omega_0=2.0)
    x = torch.randn(5, 3)
    z = layer.linear(x)
    torch.testing.assert_close(layer(x), torch.sin(2 * (z.abs() + 1) * z))


def test_finer_gradient_passes_the_factor_by_unless_asked():
    x = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    exact = FinerLayer(3, 4, omega_0=2.0, scale_gradient=True).double()
    assert torch.autograd.gradcheck(exact, x)
    published = FinerLayer(3, 4, omega_0=2.0).double()
    published.linear = exact.linear
    z = exact.linear(x)
    slope = 2 * (z.abs() + 1) * torch.cos(2 * (z.abs() + 1) * z)
    ours = torch.autograd.grad(published(x).sum(), x)[0]
    torch.testing.assert_close(ours, slope @ exact.linear.weight)


def test_finer_keeps_siren_weights_and_widens_the_first_bias():
    model = finer_model(2, 3, 400, 1, first_bias=6.0)
    assert uniform_bound(model[0].linear.bias, 6) and uniform_bound(model[0].linear.weight, 0.5)
    assert uniform_bound(model[1].linear.weight, math.sqrt(6 / 400) / 30)
    assert uniform_bound(model[2].weight, math.sqrt(6 / 400) / 30)
    assert uniform_bound(finer_model(2, 3, 400, 1)[0].linear.bias, 1 / math.sqrt(2))


# --- the grid


def test_a_grid_of_the_images_size_is_the_image():
    grid = ValueGrid((5, 7), 3)
    picture = torch.rand(5, 7, 3)
    grid.values.data.copy_(picture)
    torch.testing.assert_close(grid(pixel_centers(5, 7)), picture.reshape(-1, 3))


def test_grid_interpolates_like_grid_sample_also_outside():
    grid = ValueGrid((4, 6), 2)
    nn.init.normal_(grid.values)
    coords = torch.rand(200, 2) * 2.6 - 1.3
    expected = F.grid_sample(
        grid.values.permute(2, 0, 1)[None], coords.flip(-1)[None, None], align_corners=False, padding_mode="border"
    )
    torch.testing.assert_close(grid(coords), expected[0, :, 0].t())


def test_grid_of_three_axes_is_exact_for_linear_functions():
    shape = (3, 4, 5)
    grid = ValueGrid(shape, 1).double()
    axes = [(2 * torch.arange(n, dtype=torch.double) + 1) / n - 1 for n in shape]
    mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.double)
    grid.values.data.copy_((mesh @ slope)[..., None])
    coords = torch.rand(30, 3, dtype=torch.double) - 0.5
    torch.testing.assert_close(grid(coords)[:, 0], coords @ slope)


def test_grid_starts_flat_at_a_tenth_and_passes_gradcheck():
    grid = ValueGrid((3, 4), 2)
    assert (grid.values == 0.1).all()
    grid = grid.double()
    nn.init.normal_(grid.values)
    coords = (torch.rand(5, 2, dtype=torch.double) * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, _: grid(x), (coords, grid.values))


def test_a_grid_without_a_budget_gets_that_of_a_siren():
    assert field_model("grid", n_out=1).config == {"kind": "grid", "n_in": 2, "n_out": 1, "grid_shape": [445, 445]}
    tall = field_model("grid", n_out=1, sidelength=(200, 100), n_parameters=5000).config["grid_shape"]
    assert tall == [100, 50]


# --- errors


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(kind="sinus"), "`kind` must be one of sine, .*got 'sinus'"),
        (dict(n_in=0), "`n_in` must be at least 1, got 0"),
        (dict(hidden_layers=-1), "`hidden_layers` must be at least 0"),
        (dict(hidden_features=0), "`hidden_features`"),
        (dict(omega_0=0.0), "`omega_0` must be above 0, got 0.0"),
        (dict(kind="finer", first_bias=-1.0), "`first_bias` must be at least 0, got -1.0"),
        (dict(kind="gauss", sigma_0=-1.0), "`sigma_0` must be above 0"),
        (dict(kind="relu", sigma_0=1.0), "`sigma_0` is a setting of rbf, fourier, gauss, wire, not of 'relu'"),
        (dict(kind="siren", grid_shape=(4, 4)), "`grid_shape` is a setting of grid"),
        (dict(kind="rbf", n_parameters=3000), "'rbf' needs at least"),
        (dict(kind="grid", n_out=3, n_parameters=2), "one cell"),
        (dict(kind="grid", sidelength=(4, 4, 4)), "`sidelength` must be one number or 2"),
        (dict(kind="grid", grid_shape=(4,)), "`grid_shape` must have 2 axes"),
        (dict(kind="grid", grid_shape=(4, 0)), "at least 1"),
        (dict(kind="nerf", sidelength=0), "`sidelength`"),
    ],
)
def test_wrong_settings_are_rejected_with_what_to_do(settings, message):
    with pytest.raises(ValueError, match=message):
        field_model(**settings)


def test_sizes_must_be_integers():
    with pytest.raises(TypeError, match="`hidden_features` must be an integer, got 12.5"):
        field_model(hidden_features=12.5)
    with pytest.raises(TypeError, match="`sidelength`"):
        field_model("nerf", sidelength=16.0)


def test_wrong_coordinates_and_activations_are_rejected():
    with pytest.raises(ValueError, match="expected 2 coordinates on the last axis, got \\(5, 3\\)"):
        field_model("relu")(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="`activation` must be one of relu"):
        mlp_model(2, 3, activation="gelu")
