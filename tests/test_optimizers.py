"""Each named optimiser trains, follows fastai's schedules and says nothing."""

import pytest
import torch
from learners import pixel_learner, weights

from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import OPTIMIZERS, adam, muon


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_lowers_the_loss_silently(tmp_path, name, capsys):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    before = learn.validate()[0]
    learn.fit_one_cycle(20, 3e-2 if name == "ranger_adabelief" else 3e-3)  # gradients of RAdam's start are not scaled
    assert learn.validate()[0] < 0.8 * before
    assert capsys.readouterr().out == ""


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


def test_ranger_is_lookahead_over_radam_with_the_recipes_numbers():
    """The optimiser of Siren-fastai2's recipe, which is run at 1e-3 with fit_flat_cos."""
    optimizer = OPTIMIZERS["ranger"](list(siren_model([2, 4, 3]).parameters()), lr=1e-3)
    assert (type(optimizer).__name__, optimizer.k, optimizer.alpha) == ("Lookahead", 6, 0.5)
    hypers = {name: optimizer.hypers[0][name] for name in ("lr", "mom", "sqr_mom", "wd", "eps")}
    assert hypers == {"lr": 1e-3, "mom": 0.95, "sqr_mom": 0.99, "wd": 0.01, "eps": 1e-6}
