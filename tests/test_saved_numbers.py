"""omega_0, gain and sigma_0 travel with a network's state: a loaded network is the function that was saved."""

import copy
import io

import pytest
import torch
from fastai.callback.tracker import SaveModelCallback
from learners import pixel_learner
from torch import nn

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.init import apply_init_
from siren_fastai.models.field import field_model
from siren_fastai.models.siren import Sine, siren_model


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


FAMILIES = {
    "siren": lambda scale: siren_model([2, 8, 8, 3], omega_0=20 * scale),
    "gain": lambda scale: apply_init_(siren_model([2, 8, 8, 3]), 33 if scale > 1 else 36),
    "final sine": lambda scale: siren_model([2, 8, 3], omega_0=20 * scale, final="sine"),
    "Sine": lambda scale: nn.Sequential(nn.Linear(2, 8), Sine(20 * scale), nn.Linear(8, 3)),
    "finer": lambda scale: field_model("finer", hidden_features=8, n_out=3, omega_0=20 * scale),
    "gauss": lambda scale: field_model("gauss", hidden_features=8, n_out=3, sigma_0=5 * scale),
    "wire": lambda scale: field_model("wire", hidden_features=8, n_out=3, omega_0=10 * scale, sigma_0=5 * scale),
}


@pytest.mark.parametrize("how", [lambda state: state, through_a_file, copy.deepcopy])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_restores_the_function(family, how):
    saved, other, x = FAMILIES[family](1.5), FAMILIES[family](1.0), torch.rand(9, 2)
    other.load_state_dict(how(saved.state_dict()))
    assert torch.equal(other(x), saved(x))


def test_the_keys_of_a_state_are_those_of_the_weights():
    model = apply_init_(siren_model([2, 8, 3]), 33)
    assert list(model.state_dict()) == [name for name, _ in model.named_parameters()]


def test_a_state_of_tensors_alone_leaves_the_numbers_as_they_are():
    saved, other = siren_model([2, 8, 3], omega_0=20), siren_model([2, 8, 3], omega_0=40)
    other.load_state_dict(dict(saved.state_dict()))
    assert other[0].omega_0 == 40 and torch.equal(other[0].linear.weight, saved[0].linear.weight)


@pytest.mark.parametrize("with_opt", [True, False])
def test_a_saved_fit_of_a_scheme_loads_into_a_learner_without_it(tmp_path, with_opt):
    learn = pixel_learner(tmp_path, cbs=ApplyInit(33))
    learn.fit(2, 1e-3)
    learn.save("m", with_opt=with_opt)
    for model in (siren_model([2, 16, 16, 3]), siren_model([2, 16, 16, 3], omega_0=50)):
        other = pixel_learner(tmp_path, model=model)
        other.load("m", with_opt=with_opt)
        assert torch.equal(other.render(), learn.render())


def test_the_best_epoch_of_a_scheme_is_restored_whole(tmp_path):
    learn = pixel_learner(tmp_path, cbs=[ApplyInit(36), SaveModelCallback(monitor="psnr", fname="best")])
    learn.fit(2, 1e-3)
    other = pixel_learner(tmp_path)
    other.load("best", with_opt=False)
    assert torch.equal(other.render(), learn.render())
