"""Each named optimiser trains, follows fastai's schedules and prints nothing."""

import subprocess
import sys

import pytest
import torch
from fastai.torch_core import set_seed
from learners import picture, pixel_learner, quiet, weights

from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import OPTIMIZERS, adam, adamw, muon
from siren_fastai.quality import psnr


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_lowers_the_loss_silently(tmp_path, name, capsys):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    before = learn.validate()[0]
    learn.fit_one_cycle(20, 3e-3)
    assert learn.validate()[0] < 0.8 * before
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_fits_an_image_at_the_learners_default_rate(tmp_path, name):
    set_seed(0, reproducible=True)
    image = torch.from_numpy(picture(32, 32))
    dls = PixelDataLoaders.from_array(image, bs=256, path=tmp_path)
    learn = quiet(siren_learner(dls, opt_func=OPTIMIZERS[name]))
    learn.fit_one_cycle(30)
    mean_colour = image.mean((0, 1)).expand_as(image)
    assert psnr(learn.render(), image) > psnr(mean_colour, image) + 8


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_schedules_reach_every_parameter_group(tmp_path, name):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    learn.create_opt()
    learn.opt.set_hyper("lr", 0.123)
    learn.opt.set_hyper("mom", 0.77)
    groups = learn.opt.hypers if name == "ranger" else learn.opt.opt.param_groups
    assert [g["lr"] for g in groups] == [0.123] * len(groups)
    moments = [g.get("mom", g.get("momentum", g.get("betas", [None])[0])) for g in groups]
    assert moments == [0.77] * len(groups)
    trained = sum(p.numel() for group in learn.opt.param_lists for p in group)
    assert trained == sum(p.numel() for p in learn.model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimiser_state_is_saved_and_loaded(tmp_path, name):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    learn.fit(1, 1e-3)
    learn.save("state")
    after = weights(learn)
    learn.fit(1, 1e-2)
    learn.load("state")
    assert all(torch.equal(after[k], v) for k, v in weights(learn).items())


def test_adam_steps_as_torchs_own(tmp_path):
    learn = pixel_learner(tmp_path, opt_func=adam, bs=1000)
    model = siren_model([2, 16, 16, 3])
    model.load_state_dict(learn.model.state_dict())
    reference = torch.optim.Adam(model.parameters(), lr=1e-3)
    coords, values = learn.dls.valid.one_batch()
    for _ in range(3):
        reference.zero_grad()
        (model(coords) - values).square().mean().backward()
        reference.step()
    learn.fit(3, 1e-3)
    for ours, theirs in zip(learn.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-3)


def test_muon_orthogonalises_hidden_matrices_only():
    model = siren_model([2, 16, 16, 16, 3])
    groups = muon(list(model.parameters())).opt.param_groups
    assert [[tuple(p.shape) for p in g["params"]] for g in groups if g["use_muon"]] == [[(16, 16), (16, 16)]]
    assert [len(g["params"]) for g in groups if not g["use_muon"]] == [6]
    assert len(muon(list(siren_model([2, 3]).parameters())).opt.param_groups) == 1


def by_layer(model):
    return [list(layer.parameters()) for layer in model]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_of_a_splitter_get_the_rates_that_were_asked_for(tmp_path, name):
    learn = pixel_learner(tmp_path, dims=(2, 16, 16, 16, 3), opt_func=OPTIMIZERS[name], splitter=by_layer)
    learn.fit_one_cycle(1, slice(1e-4, 8e-4))
    learn.opt.set_hyper("lr", [1.0, 2.0, 3.0, 4.0])
    assert [hyper["lr"] for hyper in learn.opt.hypers] == [1.0, 2.0, 3.0, 4.0]
    for group, layer in zip(learn.opt.param_lists, learn.model, strict=True):
        assert {id(p) for p in group} == {id(p) for p in layer.parameters()}


def test_discriminative_rates_of_muon_move_the_groups_that_they_name(tmp_path):
    learn = pixel_learner(tmp_path, dims=(2, 16, 16, 16, 3), opt_func=muon, splitter=by_layer)
    before = weights(learn)
    learn.fit(1, [1e-3, 0.0, 1e-3, 0.0])
    moved = {name: not torch.equal(value, before[name]) for name, value in weights(learn).items()}
    assert moved == {name: name[0] in "02" for name in before}


def test_a_slice_of_rates_is_one_rate_where_muon_has_one_group(tmp_path):
    learn = pixel_learner(tmp_path, opt_func=muon)
    learn.fit_one_cycle(1, slice(1e-5, 1e-3))
    groups = learn.opt.opt.param_groups
    assert len(learn.opt.hypers) == 1 and len({group["lr"] for group in groups}) == 1 < len(groups)


def test_ranger_is_lookahead_over_radam_with_the_recipes_numbers():
    """The optimiser of Siren-fastai2's recipe, which is run at 1e-3 with fit_flat_cos."""
    optimizer = OPTIMIZERS["ranger"](list(siren_model([2, 4, 3]).parameters()), lr=1e-3)
    assert (type(optimizer).__name__, optimizer.k, optimizer.alpha) == ("Lookahead", 6, 0.5)
    hypers = {name: optimizer.hypers[0][name] for name in ("lr", "mom", "sqr_mom", "wd", "eps")}
    assert hypers == {"lr": 1e-3, "mom": 0.95, "sqr_mom": 0.99, "wd": 0.01, "eps": 1e-6}


@pytest.mark.slow
def test_the_slow_package_is_imported_by_its_own_optimisers_only():
    code = """
import sys, torch, siren_fastai.all as s
assert "pytorch_optimizer" not in sys.modules
for make in (s.soap, s.muon):
    make([torch.nn.Parameter(torch.ones(2, 2))])
assert "pytorch_optimizer" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adamw_decays_weights_by_the_rate_whatever_their_gradients_were():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 4.0]))
    opt = adamw([weight], lr=0.1, wd=0.5)
    weight.grad = torch.zeros(3)
    opt.step()
    assert torch.allclose(weight.detach(), torch.tensor([1.0, -2.0, 4.0]) * (1 - 0.1 * 0.5))


def test_adamw_without_weight_decay_is_adam():
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    for weight, make in ((ours, adamw), (theirs, adam)):
        opt = make([weight], lr=0.1)
        for step in range(3):
            weight.grad = torch.tensor([0.5, -step])
            opt.step()
    assert torch.equal(ours, theirs)
