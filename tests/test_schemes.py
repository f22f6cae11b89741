"""The table of initialisation schemes: every row against the study's definition, names, descriptions, errors."""

import dataclasses
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from siren_fastai.init import apply_init_
from siren_fastai.models.siren import sine_layers, siren_model
from siren_fastai.schemes import (
    HALF_OMEGA,
    SCHEMES,
    STUDY_GAIN,
    TORCH_DEFAULT,
    UNIT_GAIN,
    Rule,
    Scheme,
    describe_schemes,
    get_scheme,
)

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
def test_each_numbered_scheme_follows_the_study(number, wide):
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
    names = ["siren", "siren_fastai2", "normal_matched", "weight_scaled", "fast", "ball"]
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


def test_normal_matched_has_the_deviations_of_scheme_1_and_scheme_2_does_not():
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
    assert rows["fast"]["first"] == "power(270/ω, exponent 1.5)" and rows["ball"]["first"] == "ball(90/ω)"


def test_description_makes_a_data_frame():
    frame = pd.DataFrame(describe_schemes()).set_index("scheme")
    assert frame.loc[33, "hidden_bias"] == "uniform(0.06667/√n)"
    assert frame.shape == (44, 10)


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
def test_unknown_schemes_are_rejected_with_the_names(scheme, error, words):
    with pytest.raises(error, match=words):
        apply_init_(siren_model([2, 8, 3]), scheme)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Rule("gauss", 1), "`law` must be one of .*got 'gauss'"),
        (lambda: Rule("normal", -1), "`scale` must be finite and 0 or more, got -1"),
        (lambda: Rule("normal", math.nan), "`scale`"),
        (lambda: Rule("power", 1, exponent=-1), "`exponent` must be finite and 0 or more, got -1"),
        (lambda: dataclasses.replace(SCHEMES[1], gain=0.0), "`gain` must be finite and above 0, got 0.0"),
        (lambda: dataclasses.replace(SCHEMES[1], omega_0=-30), "`omega_0` must be"),
        (lambda: dataclasses.replace(SCHEMES[1], first_samples=0), "`first_samples` must be"),
        (lambda: dataclasses.replace(SCHEMES[1], hidden_omega_0=math.inf), "`hidden_omega_0` must be"),
    ],
)
def test_rules_and_schemes_check_their_numbers(make, words):
    with pytest.raises(ValueError, match=words):
        make()
