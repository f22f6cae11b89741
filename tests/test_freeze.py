"""Freezing: frozen tensors stay bit-identical under every optimiser, free ones move, and unfreezing is exact."""

import pytest
import torch
from torch import nn

from siren_fastai.freeze import freeze_, match_parameters, unfreeze_
from siren_fastai.models.siren import siren_model

OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, weight_decay=0.1, nesterov=True),
    "sgd_foreach": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, weight_decay=0.1, foreach=True),
    "adam": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=0.1),
    "adam_foreach": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=0.1, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1, amsgrad=True),
    "radam": lambda p: torch.optim.RAdam(p, 1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.9, weight_decay=0.1),
}


def snapshot(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(model, before):
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def train(model, optimiser, steps=4, set_to_none=True):
    x = torch.rand(32, 2) * 2 - 1
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=set_to_none)
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimiser.step()


def names(model, patterns):
    return list(match_parameters(model, patterns))


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_frozen_parameters_do_not_move_under_momentum_and_weight_decay(make, set_to_none):
    model = siren_model([2, 8, 8, 1])
    optimiser = make(model.parameters())
    train(model, optimiser, set_to_none=set_to_none)  # so that every parameter has momentum and a gradient
    start, everything = snapshot(model), set(snapshot(model))
    frozen = freeze_(model, ["0.*", "*.bias"])
    held = {"0.linear.weight", "0.linear.bias", "1.linear.bias", "2.bias"}
    train(model, optimiser, set_to_none=set_to_none)
    assert moved(model, start) == everything - held
    assert all(p.grad is None for p in frozen)
    unfreeze_(frozen)
    start = snapshot(model)
    train(model, optimiser, set_to_none=set_to_none)
    assert moved(model, start) == everything


def test_requires_grad_alone_would_not_freeze_them():
    """Why `grad` is set to None: with a zero gradient, momentum and decay still move the weights."""
    model = siren_model([2, 8, 1])
    optimiser = OPTIMISERS["adam"](model.parameters())
    train(model, optimiser)
    start = snapshot(model)
    model[0].requires_grad_(False)
    train(model, optimiser, set_to_none=False)
    assert "0.linear.weight" in moved(model, start)


def test_an_optimiser_made_while_frozen_moves_only_the_free_ones():
    model = siren_model([2, 8, 8, 1])
    freeze_(model, [0, 1])
    start = snapshot(model)
    train(model, torch.optim.AdamW(model.parameters(), 1e-3))
    assert moved(model, start) == {"2.weight", "2.bias"}


def test_unfreezing_restores_exactly_the_state_before():
    model = siren_model([2, 8, 8, 1])
    model[0].linear.bias.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    frozen = freeze_(model, "0.*")
    assert [id(p) for p in frozen] == [id(model[0].linear.weight)]
    assert freeze_(model, "0.*") == []  # what was frozen before isn't returned
    assert [id(p) for p in unfreeze_(frozen)] == [id(model[0].linear.weight)]
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_all_of_a_model_is_unfrozen():
    model = siren_model([2, 8, 8, 1])
    freeze_(model, "*")
    assert not any(p.requires_grad for p in model.parameters())
    assert len(unfreeze_(model)) == 6
    assert all(p.requires_grad for p in model.parameters())
    assert unfreeze_(model) == []
    assert unfreeze_([]) == []


def test_one_parameter_and_a_generator_can_be_unfrozen():
    model = siren_model([2, 8, 1])
    freeze_(model, "*")
    unfreeze_(model[0].linear.weight)
    assert [p.requires_grad for p in model.parameters()] == [True, False, False, False]
    unfreeze_(p for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_integer_parameters_stay_as_they_are():
    model = nn.Linear(2, 2)
    model.codes = nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)
    assert len(freeze_(model, "*")) == 2
    assert len(unfreeze_(model)) == 2
    assert not model.codes.requires_grad


@pytest.mark.parametrize(
    "patterns, expected",
    [
        ("0.*", ["0.linear.weight", "0.linear.bias"]),
        ("*.bias", ["0.linear.bias", "1.linear.bias", "2.bias"]),
        ("2.weight", ["2.weight"]),
        ("[01].*.weight", ["0.linear.weight", "1.linear.weight"]),
        (["2.*", "0.*"], ["0.linear.weight", "0.linear.bias", "2.weight", "2.bias"]),
        (0, ["0.linear.weight", "0.linear.bias"]),
        (-1, ["2.weight", "2.bias"]),
        ([0, 1], ["0.linear.weight", "0.linear.bias", "1.linear.weight", "1.linear.bias"]),
        ((0, "0.*", "*.weight"), ["0.linear.weight", "0.linear.bias", "1.linear.weight", "2.weight"]),
        (range(1), ["0.linear.weight", "0.linear.bias"]),
    ],
)
def test_patterns_and_layer_numbers_choose_parameters_in_the_models_order(patterns, expected):
    assert names(siren_model([2, 8, 8, 1]), patterns) == expected


def test_layers_are_counted_as_the_model_indexes_them():
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 4), shared, nn.Linear(4, 4), shared, nn.Linear(4, 1))
    assert names(model, 4) == ["4.weight", "4.bias"]
    with pytest.raises(ValueError, match="1 matches no parameter"):
        match_parameters(model, 1)


def test_layers_are_found_inside_a_wrapper():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = siren_model([2, 8, 8, 1])

    assert names(Wrapper(), [0]) == ["net.0.linear.weight", "net.0.linear.bias"]
    assert names(siren_model([2, 3], final="sine"), 0) == ["0.linear.weight", "0.linear.bias"]


def test_shared_parameters_are_found_by_both_names_and_frozen_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert names(model, "1.weight") == ["1.weight"]
    assert len(freeze_(model, "*.weight")) == 1
    assert not model[0].weight.requires_grad


@pytest.mark.parametrize(
    "patterns, error, words",
    [
        ("3.*", ValueError, r"'3\.\*' matches no parameter; names are \['0.linear.weight'"),
        (["0.*", "typo"], ValueError, "'typo' matches no parameter"),
        ("", ValueError, "'' matches no parameter"),
        ([], ValueError, "at least one name or layer number"),
        (3, ValueError, "no layer 3; the model has 3, counted from 0"),
        (-4, ValueError, "no layer -4"),
        (True, TypeError, "got True"),
        (None, TypeError, "got None"),
        ([0.5], TypeError, "got 0.5"),
    ],
)
def test_patterns_that_choose_nothing_are_refused_and_nothing_is_frozen(patterns, error, words):
    model = siren_model([2, 8, 8, 1])
    with pytest.raises(error, match=words):
        freeze_(model, patterns)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("wrong", ["0.*", ["0.*"]])
def test_unfreezing_takes_parameters_not_patterns(wrong):
    with pytest.raises(TypeError, match=r"a module or what freeze_\(\) returned, got '0\.\*'"):
        unfreeze_(wrong)
