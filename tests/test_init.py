"""Initialisation schemes: every row against the study's definition, and what the schemes do to a network."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from siren_fastai.init import (
    HALF_OMEGA,
    SCHEMES,
    STUDY_GAIN,
    TORCH_DEFAULT,
    UNIT_GAIN,
    Rule,
    Scheme,
    apply_init_,
    center_output_,
    describe_schemes,
    get_scheme,
)
from siren_fastai.models.siren import sine_layers, siren_model

R6, PI, G = math.sqrt(6), math.pi, 1 / 0.57792791

# The study's table, written again as formulas: hidden weights, first weights, first bias, hidden bias, gain, omega_0.
# (law, size) with n = inputs of the layer and w = omega_0; "D" / k is PyTorch's default bias over k; None is no bias.
U6, N1 = ("U", lambda n, w: R6 / n**0.5 / w), ("N", lambda n, w: 1 / n)


def N6(k):
    return "N", lambda n, w: R6 / n**0.5 / w / k


def NP():
    return "N", lambda n, w: math.sqrt(PI / 2 / n) / w


def over_n(law, k):
    return law, lambda n, w: k / n


def default(k=1.0):
    return "U", lambda n, w: 1 / n**0.5 / k


def fixed(law, a):
    return law, lambda n, w: a


ZERO, D = fixed("U", 0), default()
TABLE = {
    1: (U6, over_n("U", 1), D, D, 1, 30),
    2: (N6(1), N1, D, D, 1, 30),
    3: (N6(3), over_n("N", 1 / 3), D, D, 1, 30),
    4: (U6, N1, D, D, 1, 30),
    5: (U6, over_n("U", 3), D, D, 1, 30),
    6: (U6, over_n("N", 1.5), D, D, 1, 30),
    7: (N6(3), over_n("N", 1.5), D, D, 1, 30),
    8: (N6(2), over_n("N", 1.5), D, D, 1, 30),
    9: (N6(2), over_n("N", 4.5), D, D, 1, 30),
    10: (NP(), over_n("N", 1.5), D, D, 1, 30),
    11: (NP(), over_n("N", PI / 2), D, D, 1, 30),
    12: (U6, over_n("N", 1.73), D, D, 1, 30),
    13: (U6, over_n("N", 2), D, D, 1, 30),
    14: (U6, N1, D, D, G, 30),
    15: (U6, N1, ZERO, ZERO, G, 30),
    16: (U6, N1, default(2), default(2), G, 30),
    17: (U6, N1, default(10), default(10), G, 30),
    18: (U6, N1, ZERO, default(10), G, 30),
    19: (U6, N1, default(10), D, G, 30),
    20: (U6, N1, None, None, G, 30),
    21: (U6, N1, default(30), default(30), G, 30),
    22: (U6, N1, fixed("U", PI / 30), fixed("U", PI / 30), G, 30),
    23: (U6, over_n("U", 1), fixed("L", PI / 30), fixed("L", PI / 30), G, 30),
    24: (U6, over_n("U", 1), fixed("L", PI / 30), fixed("L", PI / 30), G, 30),
    25: (U6, N1, default(10), default(10), G, 30),
    26: (U6, over_n("U", 1), fixed("L", PI / 30), fixed("L", PI / 30), G, 30),
    27: (U6, N1, fixed("U", 30 * PI), fixed("U", 30 * PI), G, 30),
    28: (U6, N1, fixed("U", PI / 60), fixed("U", 30 * PI), G, 30),
    29: (U6, N1, fixed("U", PI / 60), fixed("U", PI / 60), G, 30),
    30: (U6, N1, fixed("U", 2.5 / 30), fixed("U", 2.5 / 30), G, 30),
    31: (U6, N1, fixed("U", 3 * PI / 4 / 30), fixed("U", 3 * PI / 4 / 30), G, 30),
    32: (U6, N1, fixed("U", 2 / 30), fixed("U", 2 / 30), G, 30),
    33: (U6, N1, default(15), default(15), G, 30),
    34: (U6, N1, default(15), default(15), G, 30),
    35: (U6, N1, default(15), default(15), G, 10),
    36: (U6, N1, default(15), default(15), G, 50),
    37: (U6, N1, default(15), default(15), G, 40),
    38: (U6, N1, default(20), default(20), G, 40),
}
WIDE = [8, 1024, 512, 600]  # enough draws in every tensor, biases included, for the margins below


@pytest.fixture(scope="module")
def wide():
    return {bias: siren_model(WIDE, bias=bias) for bias in (True, False)}


def check_law(tensor, expected, n, omega_0):
    """Uniform: within the bound and up to 98 % of it. Normal: deviation within 3 % and tails past any uniform's."""
    law, size = expected[0], expected[1](n, omega_0)
    tensor = tensor.detach().double().flatten()
    if law == "L":
        torch.testing.assert_close(
            tensor, torch.linspace(-size, size, len(tensor), dtype=torch.double), rtol=1e-5, atol=1e-7
        )
    elif law == "N":
        assert tensor.std().item() == pytest.approx(size, rel=0.03)
        assert tensor.abs().max() > 2.5 * size
    else:
        assert 0.98 * size <= tensor.abs().max() <= size * (1 + 1e-6)
        assert tensor.std().item() == pytest.approx(size / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("number", range(1, 39))
def test_numbered_scheme_is_the_studys(number, wide):
    hidden, first, first_bias, hidden_bias, gain, omega_0 = TABLE[number]
    model = apply_init_(wide[first_bias is not None], number)
    layers, output = sine_layers(model), model[-1]
    assert [layer.omega_0 for layer in layers] == [omega_0, omega_0]
    assert [layer.gain for layer in layers] == pytest.approx([gain, 1])
    for layer, weight, bias in zip(layers, (first, hidden), (first_bias, hidden_bias), strict=True):
        check_law(layer.linear.weight, weight, layer.linear.in_features, omega_0)
        if bias is None:
            assert layer.linear.bias is None
        else:
            check_law(layer.linear.bias, bias, layer.linear.in_features, omega_0)
    check_law(output.weight, D, 512, omega_0)
    check_law(output.bias, D, 512, omega_0)


def test_the_table_has_the_38_numbers_and_the_names():
    names = ["siren", "siren_fastai2", "normal_matched", "weight_scaled", "fast"]
    assert list(SCHEMES) == [*range(1, 39), *names]
    for same in [(23, 24), (23, 26), (17, 25), (33, 34)]:
        first, second = (dataclasses.replace(SCHEMES[k], remark="") for k in same)
        assert first == second


def test_output_rule_is_the_default_of_pytorch():
    torch.manual_seed(5)
    reference = nn.Linear(64, 32)
    check_law(reference.weight, default(), 64, 1)
    torch.manual_seed(5)
    ours = Scheme(TORCH_DEFAULT, TORCH_DEFAULT, omega_0=None)
    model = apply_init_(siren_model([64, 32], final="sine"), ours, torch.Generator().manual_seed(5))
    torch.testing.assert_close(model[0].linear.weight, reference.weight)
    torch.testing.assert_close(model[0].linear.bias, reference.bias)


def test_the_coordinate_gains():
    assert STUDY_GAIN == pytest.approx(1 / np.linspace(-1, 1, 1000).std(), rel=1e-6)
    x = torch.rand(200_000) * 2 - 1
    assert (UNIT_GAIN * x).std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("omega_0, number", [(30, 33), (40, 38)])
def test_half_omega_bias_is_the_closed_form_of_33_and_38(omega_0, number):
    row = SCHEMES[number]
    for n in (2, 256):
        assert HALF_OMEGA.size(n, omega_0) == pytest.approx(2 / (omega_0 * math.sqrt(n)))
        assert HALF_OMEGA.size(n, omega_0) == pytest.approx(row.hidden_bias.size(n, omega_0))
    scaled = dataclasses.replace(row, first_bias=HALF_OMEGA, hidden_bias=HALF_OMEGA)
    ours, theirs = (
        apply_init_(siren_model([2, 32, 32, 3]), scheme, torch.Generator().manual_seed(1)) for scheme in (scaled, row)
    )
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


# --- names -----------------------------------------------------------------------------------------------------------


def test_siren_is_the_official_code_with_the_models_own_omega():
    model = apply_init_(siren_model(WIDE, omega_0=20.0, hidden_omega_0=5.0), "siren")
    assert [layer.omega_0 for layer in sine_layers(model)] == [20, 5]
    check_law(model[0].linear.weight, over_n("U", 1), 8, 20)
    check_law(model[1].linear.weight, U6, 1024, 5)
    check_law(model[2].weight, U6, 512, 5)
    for linear, n in ((model[0].linear, 8), (model[1].linear, 1024), (model[2], 512)):
        check_law(linear.bias, default(), n, 5)


@pytest.mark.parametrize("final", ["linear", "sine"])
def test_siren_fastai2_bounds_weights_and_biases_of_every_layer_alike(final):
    model = apply_init_(siren_model([24, 1024, 512, 600], final=final), "siren_fastai2")
    layers = sine_layers(model)
    assert [layer.omega_0 for layer in layers] == [30, 1, 1][: len(layers)]
    for module in model:
        linear = getattr(module, "linear", module)
        he = "U", lambda n, w: math.sqrt(6 / n)
        check_law(linear.weight, he, linear.in_features, 1)
        check_law(linear.bias, he, linear.in_features, 1)


def test_weight_scaled_is_siren_times_2_5_except_for_the_output():
    scaled, plain = (
        apply_init_(siren_model([2, 32, 32, 3]), name, torch.Generator().manual_seed(3))
        for name in ("weight_scaled", "siren")
    )
    for ours, theirs in zip(sine_layers(scaled), sine_layers(plain), strict=True):
        torch.testing.assert_close(ours.linear.weight, 2.5 * theirs.linear.weight)
        torch.testing.assert_close(ours.linear.bias, theirs.linear.bias)
    torch.testing.assert_close(scaled[-1].weight, plain[-1].weight)


def test_normal_matched_has_the_deviations_of_scheme_1_and_scheme_2_has_not():
    deviations = {
        scheme: [
            layer.linear.weight.std().item()
            for layer in sine_layers(apply_init_(siren_model([64, 512, 512, 3]), scheme))
        ]
        for scheme in (1, 2, "normal_matched")
    }
    assert deviations["normal_matched"] == pytest.approx(deviations[1], rel=0.02)
    assert deviations[2] == pytest.approx([math.sqrt(3) * s for s in deviations[1]], rel=0.02)


def test_fast_takes_the_values_of_its_row():
    model = apply_init_(siren_model(WIDE, omega_0=12.0), "fast")
    row = SCHEMES["fast"]
    assert sine_layers(model)[0].gain == row.gain
    assert 0.98 <= model[0].linear.weight.norm(dim=1).max() / row.first.size(8, 12.0) <= 1.001
    assert 0.98 <= model[1].linear.weight.abs().max() / row.hidden.size(1024, 12.0) <= 1.001
    assert [layer.omega_0 for layer in sine_layers(model)] == [12, 12]


# --- what the schemes do to a network --------------------------------------------------------------------------------


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


# --- properties ------------------------------------------------------------------------------------------------------


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
    assert model[0].linear.bias[-1].item() == pytest.approx(PI / 30, rel=5e-3)
    if dtype != torch.float64:  # whose stream of random numbers is another
        reference = apply_init_(siren_model([2, 16, 3]), 23, torch.Generator().manual_seed(0))
        torch.testing.assert_close(state(model.float()), state(reference), rtol=1e-2, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_gives_the_same_weights_on_the_gpu():
    cpu, gpu = siren_model([2, 16, 3]), siren_model([2, 16, 3]).cuda()
    for model in (cpu, gpu):
        apply_init_(model, 33, torch.Generator().manual_seed(0))
    assert gpu[0].linear.weight.is_cuda
    torch.testing.assert_close(state(gpu.cpu()), state(cpu), rtol=0, atol=0)
    apply_init_(gpu.cuda(), 33, torch.Generator("cuda").manual_seed(0))
    apply_init_(gpu, "fast")


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


def test_a_scheme_is_found_by_number_numeric_name_name_or_itself():
    own = Scheme(hidden=HALF_OMEGA, first=TORCH_DEFAULT)
    assert get_scheme(own) is own
    assert get_scheme(33) is get_scheme("33") is get_scheme(np.int64(33)) is SCHEMES[33]
    assert get_scheme("siren") is SCHEMES["siren"]
    assert pickle.loads(pickle.dumps(SCHEMES)) == SCHEMES


def test_description_has_a_readable_row_for_each_scheme():
    rows = {row["scheme"]: row for row in describe_schemes()}
    assert list(rows) == list(SCHEMES)
    assert len({tuple(row) for row in rows.values()}) == 1
    assert rows[1]["hidden"] == "uniform(2.449/√n/ω)" and rows[1]["first"] == "uniform(1/n)"
    assert rows[15]["first_bias"] == "0" and rows[20]["first_bias"] == "none"
    assert rows[35]["omega_0"] == 10 and rows["siren"]["omega_0"] == "own"
    assert rows["siren_fastai2"]["hidden_omega_0"] == 1


def test_description_makes_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(describe_schemes()).set_index("scheme")
    assert frame.loc[33, "hidden_bias"] == "uniform(0.06667/√n)"
    assert frame.shape == (43, 10)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme, error, words",
    [
        (39, ValueError, "from 1 to 38 or one of .*'siren'.*got 39"),
        (0, ValueError, "got 0"),
        ("Weight-Scale", ValueError, "did you mean 'weight_scaled'"),
        ("sirn", ValueError, "did you mean 'siren'"),
        (True, TypeError, "a number, a name or a Scheme, got True"),
        (33.0, TypeError, "got 33.0"),
        (None, TypeError, "got None"),
    ],
)
def test_unknown_schemes_are_refused_with_the_names(scheme, error, words):
    with pytest.raises(error, match=words):
        apply_init_(siren_model([2, 8, 3]), scheme)


def test_models_without_sine_layers_are_refused_with_what_was_found():
    with pytest.raises(ValueError, match="sine layers.*found 1 Sequential, 2 Linear, 1 ReLU"):
        apply_init_(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)), 33)


@pytest.mark.parametrize(
    "bias, scheme, words", [(True, 20, "bias=False"), (False, 33, "sine layer 0 has none.*bias=True")]
)
def test_biases_that_do_not_fit_the_scheme_are_refused_before_any_change(bias, scheme, words):
    model = siren_model([2, 8, 8, 3], omega_0=7.0, bias=bias)
    before = state(model)
    with pytest.raises(ValueError, match=words):
        apply_init_(model, scheme)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    assert [layer.omega_0 for layer in sine_layers(model)] == [7, 7]


def test_a_parametrised_weight_is_refused_as_the_draw_would_be_lost():
    model = siren_model([2, 8, 3])
    nn.utils.parametrizations.weight_norm(model[0].linear)
    with pytest.raises(ValueError, match="parametrisation"):
        apply_init_(model, 33)


def test_a_seed_in_place_of_a_generator_is_refused():
    with pytest.raises(TypeError, match="`generator` must be a torch.Generator, got 5"):
        apply_init_(siren_model([2, 8, 3]), 33, 5)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Rule("gauss", 1), "`law` must be one of .*got 'gauss'"),
        (lambda: Rule("normal", -1), "`scale` must be finite and 0 or more, got -1"),
        (lambda: Rule("normal", math.nan), "`scale`"),
        (lambda: dataclasses.replace(SCHEMES[1], gain=0.0), "`gain` must be finite and above 0, got 0.0"),
        (lambda: dataclasses.replace(SCHEMES[1], omega_0=-30), "`omega_0` must be"),
        (lambda: dataclasses.replace(SCHEMES[1], hidden_omega_0=math.inf), "`hidden_omega_0` must be"),
    ],
)
def test_rules_and_schemes_check_their_numbers(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_ball_is_filled_evenly_in_every_direction(d):
    scheme = Scheme(SCHEMES[1].hidden, Rule("ball", 5.0))
    rows = apply_init_(siren_model([d, 20_000, 8, 1]), scheme)[0].linear.weight.detach()
    volume = (rows.norm(dim=1) / 5) ** d  # uniform on [0, 1] for points uniform in the ball
    assert volume.max() <= 1 and volume.mean().item() == pytest.approx(0.5, abs=0.01)
    assert volume.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert rows.mean(0).abs().max() < 0.1 and (rows.T.cov() - torch.eye(d) * 25 / (d + 2)).abs().max() < 0.3


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
