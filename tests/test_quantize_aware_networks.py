"""Networks that compute with quantised weights: what they compute, learn, and leave."""

import copy
import pickle

import pytest
import torch
from torch import nn

from siren_fastai.models.siren import siren_model
from siren_fastai.quantize.aware import bake_, is_quantize_aware, quantize_aware_, release_
from siren_fastai.quantize.quantizers import Quantizer, dequantize, fit_quantizer, quantize, round_step

pytestmark = pytest.mark.numerics

HALF = torch.tensor(0.5)


def error(weight, quantizer):
    return (dequantize(quantize(weight, quantizer), quantizer) - weight).square().sum().item()


def all_quantizers(model, bits=4, **kwargs):
    return {name: fit_quantizer(p, bits, **kwargs) for name, p in model.named_parameters()}


@pytest.mark.parametrize("by_row", [False, True])
def test_an_aware_network_computes_what_the_baked_one_computes(by_row):
    model, x = siren_model([2, 8, 8, 3]), torch.rand(20, 2)
    quantizers, names, parameters = (
        all_quantizers(model, by_row=by_row),
        list(model.state_dict()),
        list(model.parameters()),
    )
    plain = model(x)
    assert len(quantize_aware_(model, quantizers)) == 6
    assert list(model.state_dict()) == names and all(
        a is b for a, b in zip(model.parameters(), parameters, strict=True)
    )
    aware = model(x)
    assert not torch.equal(aware, plain)
    assert isinstance(model[0].linear.weight, nn.Parameter)  # outside a call nothing is covered
    found = bake_(model)
    assert torch.equal(model(x), aware) and not is_quantize_aware(model)
    for name, parameter in model.named_parameters():
        assert torch.equal(found[name].step, quantizers[name].step)
        assert torch.equal(parameter, dequantize(quantize(parameter, found[name]), found[name]))


def test_training_an_aware_network_moves_weights_and_steps_and_nothing_else():
    model, x = siren_model([2, 8, 8, 3]), torch.rand(20, 2)
    quantizers = {"1.linear.weight": fit_quantizer(model[1].linear.weight, 3)}
    (factor,) = quantize_aware_(model, quantizers)
    optimiser = torch.optim.Adam([*model.parameters(), factor], lr=1e-2)
    for _ in range(5):
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()
    step = quantizers["1.linear.weight"].step * factor.detach().exp()
    bias = model[1].linear.bias.detach().clone()
    found = bake_(model)["1.linear.weight"]
    assert torch.equal(found.step, round_step(step).view(())) and not torch.equal(
        found.step, quantizers["1.linear.weight"].step
    )
    assert len(model[1].linear.weight.unique()) <= 7 and torch.equal(model[1].linear.bias, bias)


def test_the_step_is_learned_by_the_gradient_of_the_loss():
    model = nn.Linear(64, 1, bias=False)
    torch.nn.init.normal_(model.weight)
    poor = Quantizer(3, torch.tensor(0.125))  # clamps most weights
    (factor,) = quantize_aware_(model, {"weight": poor})
    target, optimiser = model.weight.detach().clone(), torch.optim.Adam([factor], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        (model(torch.eye(64)) - target.t()).square().mean().backward()
        optimiser.step()
    found = release_(model)["weight"]
    assert torch.equal(model.weight, target)
    assert error(target, found) < 1.1 * error(target, fit_quantizer(target, 3)) < 0.2 * error(target, poor)


def test_shared_parameters_are_quantised_in_both_their_places():
    layer = nn.Linear(4, 4)
    model, x = nn.Sequential(layer, nn.Tanh(), layer), torch.rand(3, 4)
    quantize_aware_(model, {"0.weight": fit_quantizer(layer.weight, 3)})
    aware = model(x)
    bake_(model)
    torch.testing.assert_close(model(x), aware, rtol=0, atol=0)


def test_an_aware_network_can_be_copied_pickled_called_in_vain_and_released():
    model, x = siren_model([2, 8, 3]), torch.rand(5, 2)
    state = copy.deepcopy(model.state_dict())
    quantize_aware_(model, all_quantizers(model))
    aware = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), aware)
        bake_(other)
        assert torch.equal(other(x), aware) and is_quantize_aware(model)
    with pytest.raises(RuntimeError):
        model(torch.rand(5, 7))
    assert isinstance(model[0].linear.weight, nn.Parameter)
    release_(model)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_misuse_of_an_aware_network_is_refused():
    model = siren_model([2, 8, 3])
    for end in (bake_, release_):
        with pytest.raises(ValueError, match="not quantisation-aware"):
            end(model)
    for wrong in ({}, {"nothing": Quantizer(4, HALF)}):
        with pytest.raises(ValueError, match="the parameters are"):
            quantize_aware_(model, wrong)
    with pytest.raises(ValueError, match="steps for 5 rows"):
        quantize_aware_(model, {"0.linear.weight": Quantizer(4, torch.ones(5, 1))})
    quantize_aware_(model, all_quantizers(model))
    with pytest.raises(ValueError, match="already"):
        quantize_aware_(model, all_quantizers(model))
