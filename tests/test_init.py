"""Drawing a network by a scheme: what it does to the function, what it depends on, what it rejects."""

import copy
import math

import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn

from siren_fastai.init import apply_init_, center_output_, init_for_signal_
from siren_fastai.models.siren import sine_layers, siren_model
from siren_fastai.schemes import (
    SCHEMES,
    STUDY_GAIN,
    Rule,
    Scheme,
)


@pytest.mark.parametrize(
    "scheme, expected", [(1, 1.0), (2, 1.73), (8, 0.87), (7, 0.58), (10, 0.89), ("normal_matched", 1.0)]
)
def test_deviation_of_the_hidden_phases_in_wide_networks(scheme, expected):
    """omega_0 W h of the second layer, h having the deviation 1/sqrt(2) of a sine over all phases."""
    model = apply_init_(siren_model([2, 1024, 1024, 1]), scheme)
    x = torch.rand(1000, 2) * 2 - 1
    with torch.no_grad():
        phase = 30 * model[0](x) @ model[1].linear.weight.T
    assert phase.std().item() == pytest.approx(expected, rel=0.05)


def test_scheme_12_is_the_function_of_scheme_14():
    networks = [
        apply_init_(siren_model([2, 32, 32, 3]), number, torch.Generator().manual_seed(2)).double()
        for number in (12, 14)
    ]
    x = torch.rand(100, 2, dtype=torch.double) * 2 - 1
    networks[0][0].gain = 1 / 0.57792791 / 1.73  # the two differ by the rounding of 1.73 only
    torch.testing.assert_close(networks[0](x), networks[1](x), rtol=0, atol=1e-4)


def test_without_biases_the_network_is_odd_around_the_output_bias():
    model = apply_init_(siren_model([2, 256, 256, 3], bias=False), 20)
    x = torch.rand(500, 2) * 2 - 1
    torch.testing.assert_close(model(x) + model(-x), (2 * model[-1].bias).expand(500, 3), rtol=0, atol=1e-6)


def asymmetric_picture(n=16):
    """Positions of n x n pixel centres in [-1, 1] and a picture in [0, 1] with an even and an odd part."""
    axis = (2 * torch.arange(n) + 1) / n - 1
    x = torch.cartesian_prod(axis, axis)
    y = 0.4 + 0.15 * torch.sin(3 * x[:, :1] + x[:, 1:]) + 0.4 * torch.exp(-4 * (x - 0.4).square().sum(1, keepdim=True))
    return x, y


def fit(model, x, y, steps):
    """Full-batch Adam from an output at the mean; the final MSE."""
    nn.init.constant_(model[-1].bias, y.mean().item())
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        (model(x) - y).square().mean().backward()
        optimiser.step()
    return (model(x) - y).square().mean().item()


@pytest.fixture
def one_thread():
    """So small a network is faster without a second thread, much faster on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_fit_without_biases_finds_the_mean_and_the_odd_part_only(one_thread):
    x, y = asymmetric_picture()
    mirrored = y.flip(0)  # y(-x): the grid is symmetric
    odd, even = (y - mirrored) / 2, (y + mirrored) / 2 - y.mean()
    floor = even.square().mean().item()
    without = apply_init_(siren_model([2, 32, 32, 1], bias=False), 20)
    loss = fit(without, x, y, 100)
    residual = (without(x) - (odd + y.mean())).square().mean().item()
    assert -10 * math.log10(residual) >= 25
    assert floor * (1 - 1e-4) <= loss <= 1.01 * floor
    assert fit(apply_init_(siren_model([2, 32, 32, 1]), 33), x, y, 100) < floor / 10


def state(model):
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("scheme", [1, 22, 23, 33, "siren", "siren_fastai2", "fast"])
def test_the_result_depends_on_the_seed_alone(scheme):
    fresh, trained = siren_model([2, 16, 16, 1]), siren_model([2, 16, 16, 1])
    fit(trained, *asymmetric_picture(4), steps=3)
    for model in (fresh, trained):
        torch.manual_seed(11)
        apply_init_(model, scheme)
    torch.testing.assert_close(state(fresh), state(trained), rtol=0, atol=0)


def test_a_generator_decides_alone_and_the_global_seed_stays():
    model = siren_model([2, 16, 3])
    before = torch.get_rng_state()
    first, second, third = (state(apply_init_(model, 22, torch.Generator().manual_seed(k))) for k in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not any(torch.equal(a, b) for a, b in zip(first, third, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtype_stays_and_the_numbers_are_the_same_up_to_rounding(dtype):
    model = apply_init_(siren_model([2, 16, 3]).to(dtype), 23, torch.Generator().manual_seed(0))
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model[0].linear.bias[-1].item() == pytest.approx(math.pi / 30, rel=5e-3)
    if dtype != torch.float64:  # whose stream of random numbers is another
        reference = apply_init_(siren_model([2, 16, 3]), 23, torch.Generator().manual_seed(0))
        torch.testing.assert_close(state(model.float()), state(reference), rtol=1e-2, atol=1e-3)


def test_parameters_stay_the_same_objects_so_that_an_optimiser_keeps_them():
    model = siren_model([2, 16, 3])
    before = list(model.parameters())
    assert apply_init_(model, 33) is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.requires_grad and p.is_leaf for p in before)


def test_other_modules_and_earlier_linear_layers_stay():
    encoder, norm = nn.Linear(5, 2), nn.LayerNorm(2)
    model = nn.Sequential(encoder, norm, siren_model([2, 16, 4], final="sine"))
    before = copy.deepcopy([encoder.state_dict(), norm.state_dict()])
    apply_init_(model, 33)
    torch.testing.assert_close([dict(encoder.state_dict()), dict(norm.state_dict())], [dict(b) for b in before])


def test_gain_goes_back_to_one_with_a_scheme_without_it():
    model = apply_init_(siren_model([2, 16, 16, 3]), 33)
    assert [layer.gain for layer in sine_layers(model)] == [pytest.approx(STUDY_GAIN), 1]
    assert [layer.gain for layer in sine_layers(apply_init_(model, 1))] == [1, 1]


@pytest.mark.parametrize("scheme", ["siren", "fast", "weight_scaled", "normal_matched"])
def test_adapting_schemes_skip_biases_that_do_not_exist(scheme):
    model = apply_init_(siren_model([2, 16, 16, 3], bias=False), scheme)
    assert [layer.linear.bias for layer in sine_layers(model)] == [None, None]
    assert model[-1].bias is not None


def test_models_without_sine_layers_are_rejected_with_what_was_found():
    with pytest.raises(ValueError, match="sine layers.*found 1 Sequential, 2 Linear, 1 ReLU"):
        apply_init_(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)), 33)


@pytest.mark.parametrize(
    "bias, scheme, words", [(True, 20, "bias=False"), (False, 33, "sine layer 0 has none.*bias=True")]
)
def test_biases_that_do_not_fit_the_scheme_are_rejected_before_any_change(bias, scheme, words):
    model = siren_model([2, 8, 8, 3], omega_0=7.0, bias=bias)
    before = state(model)
    with pytest.raises(ValueError, match=words):
        apply_init_(model, scheme)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    assert [layer.omega_0 for layer in sine_layers(model)] == [7, 7]


def test_a_parametrised_weight_is_rejected_as_the_draw_would_be_lost():
    model = siren_model([2, 8, 3])
    nn.utils.parametrizations.weight_norm(model[0].linear)
    with pytest.raises(ValueError, match="parametrisation"):
        apply_init_(model, 33)


def test_a_seed_in_place_of_a_generator_is_rejected():
    with pytest.raises(TypeError, match="`generator` must be a torch.Generator, got 5"):
        apply_init_(siren_model([2, 8, 3]), 33, 5)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_ball_is_filled_evenly_in_every_direction(d):
    scheme = Scheme(SCHEMES[1].hidden, Rule("ball", 5.0))
    rows = apply_init_(siren_model([d, 20_000, 8, 1]), scheme)[0].linear.weight.detach()
    volume = (rows.norm(dim=1) / 5) ** d  # uniform on [0, 1] for points uniform in the ball
    assert volume.max() <= 1 and volume.mean().item() == pytest.approx(0.5, abs=0.01)
    assert volume.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert rows.mean(0).abs().max() < 0.1 and (rows.T.cov() - torch.eye(d) * 25 / (d + 2)).abs().max() < 0.3


@pytest.mark.parametrize("d, exponent", [(1, 2.0), (2, 1.5), (3, 0.5)])
def test_a_power_law_has_its_lengths_in_every_direction(d, exponent):
    scheme = Scheme(SCHEMES[1].hidden, Rule("power", 5.0, exponent=exponent))
    rows = apply_init_(siren_model([d, 20_000, 8, 1]), scheme)[0].linear.weight.detach()
    uniform, _ = ((rows.norm(dim=1) / 5) ** (1 / exponent)).sort()
    assert (uniform - torch.linspace(0, 1, 20_000)).abs().max() < 0.02  # Kolmogorov and Smirnov's distance
    directions = rows / rows.norm(dim=1, keepdim=True)
    assert directions.mean(0).abs().max() < 0.03 and (directions.T.cov() - torch.eye(d) / d).abs().max() < 0.02


def test_a_power_of_one_over_n_is_the_ball():
    ball, power = (Scheme(SCHEMES[1].hidden, Rule(law, 5.0, exponent=1 / 3)) for law in ("ball", "power"))
    ours, theirs = (apply_init_(siren_model([3, 64, 1]), s, torch.Generator().manual_seed(0)) for s in (power, ball))
    torch.testing.assert_close(state(ours), state(theirs))


def first_reach(scheme, dims, shape):
    """The greatest first frequency along each input, in rad per unit."""
    torch.manual_seed(0)
    model = init_for_signal_(siren_model(dims), scheme, torch.rand(9, dims[-1]), shape)
    return model[0].omega_0 * model[0].linear.weight.detach().abs().amax(0)


def test_the_first_frequencies_of_fast_are_proportional_to_the_samples_up_to_256_in_the_mean():
    own = first_reach("fast", [2, 4096, 3], None)
    torch.testing.assert_close(own, torch.full((2,), float(SCHEMES["fast"].first.scale)), rtol=0.02, atol=0)
    torch.testing.assert_close(first_reach("fast", [2, 4096, 3], (256, 256)), own)
    torch.testing.assert_close(first_reach("fast", [2, 4096, 3], (64, 512)), own * torch.tensor([0.25, 2.0]))
    torch.testing.assert_close(first_reach("fast", [2, 4096, 3], (1024, 1024)), own)
    torch.testing.assert_close(first_reach("fast", [2, 4096, 3], (256, 1024)), own * torch.tensor([0.5, 2.0]))
    featured, plain = (first_reach("fast", [n, 4096, 3], (64, 256)) for n in (5, 2))  # three features
    torch.testing.assert_close(featured[:2], plain, rtol=0.02, atol=0)
    torch.testing.assert_close(featured[2:], featured[2:].mean().expand(3), rtol=0.02, atol=0)


@pytest.mark.parametrize("shape", [(4000,), (64, 512), (8, 16, 32)])
@pytest.mark.parametrize("scheme", ["fast", "ball"])
def test_further_inputs_leave_the_coordinates_frequencies_as_they_are(scheme, shape):
    d = len(shape)
    plain, wider = (
        init_for_signal_(siren_model([d + k, 4096, 3]), scheme, torch.rand(9, 3), shape)[0].linear.weight.detach()
        for k in (0, 4)
    )
    assert ks_2samp(*(w[:, :d].norm(dim=1).numpy() for w in (plain, wider))).statistic < 0.05
    if d == 1:  # without a stretch along axes
        assert wider[:, 1:].std().item() == pytest.approx(wider[:, 0].std().item(), rel=0.05)


def test_the_first_frequencies_of_ball_are_the_same_for_every_image():
    own = first_reach("ball", [2, 4096, 3], None)
    torch.testing.assert_close(own, torch.full((2,), 90.0), rtol=0.02, atol=0)
    torch.testing.assert_close(first_reach("ball", [2, 4096, 3], (64, 512)), own)


def test_a_centred_network_starts_at_the_mean_colour():
    values = torch.rand(7, 5, 3)
    model = siren_model([2, 8, 3])
    with torch.no_grad():
        model[-1].weight.zero_()
    assert center_output_(model, values) is model
    torch.testing.assert_close(model(torch.rand(4, 2)), values.mean((0, 1)).expand(4, 3))


@pytest.mark.parametrize("model", [siren_model([2, 8, 1]), nn.Linear(2, 3, bias=False), nn.ReLU()])
def test_a_network_that_cannot_be_centred_says_what_it_lacks(model):
    with pytest.raises(ValueError, match="must end in a linear layer with a bias and 3 outputs"):
        center_output_(model, torch.rand(4, 3))


def test_a_scheme_of_numbers_alone_does_not_follow_the_signal():
    values, model, other = torch.rand(9, 3), siren_model([1, 8, 3]), siren_model([1, 8, 3])
    torch.manual_seed(0)
    init_for_signal_(model, 33, values, (32000,))
    torch.manual_seed(0)
    apply_init_(other, 33)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
