"""Callbacks that act on the network: ApplyInit, FreezeLayers, ClusterFeatures, ScaleWidths."""

import copy

import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import load_learner
from fastai.optimizer import SGD, Adam, ranger
from learners import picture, pixel_learner, plain_learner, quiet, same, weights
from scipy.stats import ks_2samp

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.clusters import kmeans_labels, label_features
from siren_fastai.data import PixelDataLoaders
from siren_fastai.init import apply_init_, center_output_, init_for_signal_
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import adam, muon, ranger_adabelief, soap
from siren_fastai.quality import psnr

# ApplyInit


def test_apply_init_draws_what_the_function_draws(tmp_path):
    learn = pixel_learner(tmp_path)
    torch.manual_seed(5)
    learn.add_cb(ApplyInit(33)).apply_init.after_create()
    expected = siren_model([2, 16, 16, 3])
    torch.manual_seed(5)
    apply_init_(expected, 33)
    assert same(weights(learn), expected.state_dict())


def test_apply_init_in_the_learner_acts_when_it_is_made_and_never_again(tmp_path):
    learn = pixel_learner(tmp_path, cbs=ApplyInit("siren_fastai2"))
    assert learn.model[1].omega_0 == 1.0
    before = weights(learn)
    learn.fit(1, 0.0)
    assert same(before, weights(learn))


def test_apply_init_in_a_fit_acts_before_its_first_batch_only_once(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(1, 1e-2)
    trained, callback = weights(learn), ApplyInit("siren")
    learn.fit(2, 0.0, cbs=callback)
    redrawn = weights(learn)
    assert not same(trained, redrawn)
    learn.fit(1, 0.0, cbs=callback)
    assert same(redrawn, weights(learn))


def test_apply_init_added_later_is_not_used_up_by_lr_find(tmp_path):
    learn = pixel_learner(tmp_path)
    before = weights(learn)
    learn.add_cb(ApplyInit("siren")).lr_find(num_it=3, show_plot=False)
    assert same(before, weights(learn))
    learn.fit(1, 0.0)
    assert not same(before, weights(learn))


def test_after_apply_init_the_optimiser_begins_without_momentum_from_the_old_weights(tmp_path):
    results = []
    for epochs_before in (0, 2):
        learn = pixel_learner(tmp_path, opt_func=Adam, order="raster")
        learn.fit(epochs_before, 1e-2)
        torch.manual_seed(3)
        learn.fit(1, 1e-2, cbs=ApplyInit("siren"))
        results.append(weights(learn))
    assert same(*results)


def test_the_fast_scheme_starts_at_the_mean_of_the_signal_as_the_default_network_does(tmp_path):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    learn = siren_learner(dls, cbs=ApplyInit("fast"))
    torch.testing.assert_close(learn.model[-1].bias.detach(), dls.train_ds.values.mean(0))
    numbered = siren_learner(dls, cbs=ApplyInit(33))
    assert not torch.allclose(numbered.model[-1].bias, dls.train_ds.values.mean(0), atol=1e-3)
    with pytest.raises(ValueError, match="must end in a linear layer"):
        center_output_(siren_model([2, 8, 3], final="sine"), dls.train_ds.values)


def test_apply_init_names_unknown_schemes_at_once():
    with pytest.raises(ValueError, match="scheme"):
        ApplyInit("siern")


# FreezeLayers


@pytest.mark.parametrize("opt_func", [adam, Adam, SGD, ranger, ranger_adabelief, soap, muon])
def test_frozen_weights_do_not_move_under_momentum_and_decay(tmp_path, opt_func):
    learn = pixel_learner(tmp_path, opt_func=opt_func, wd=0.1)
    learn.fit(2, 1e-2)  # momentum and slow weights of earlier training
    before = weights(learn)
    learn.fit(2, 1e-2, cbs=FreezeLayers("0.*"))
    after = weights(learn)
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("0."))
    assert all(not torch.equal(before[k], after[k]) for k in before if not k.startswith("0."))
    learn.fit(1, 1e-2)
    assert not torch.equal(weights(learn)["0.linear.weight"], after["0.linear.weight"])


def test_freezing_by_layer_number_is_freezing_by_name(tmp_path):
    results = []
    for patterns in ([0, 1], ["0.*", "1.*"]):
        learn = pixel_learner(tmp_path)
        learn.fit(2, 1e-2, cbs=FreezeLayers(patterns))
        results.append(weights(learn))
    assert same(*results)


def test_what_was_frozen_before_stays_frozen_after(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.model[0].linear.bias.requires_grad_(False)
    learn.fit(1, 1e-2, cbs=FreezeLayers("0.*"))
    assert not learn.model[0].linear.bias.requires_grad and learn.model[0].linear.weight.requires_grad


def test_a_pattern_without_match_ends_the_fit_before_training(tmp_path):
    learn = pixel_learner(tmp_path)
    before = weights(learn)
    with pytest.raises(ValueError, match="matches no parameter"):
        learn.fit(1, 1e-2, cbs=FreezeLayers("decoder.*"))
    assert same(before, weights(learn))


@pytest.mark.parametrize("patterns", ["*", ["*.weight", "*.bias"], [0, 1, -1]])
def test_freezing_everything_is_refused_and_freezes_nothing(tmp_path, patterns):
    learn = pixel_learner(tmp_path)
    with pytest.raises(ValueError, match="leave no parameter to train"):
        learn.fit(1, cbs=FreezeLayers(patterns))
    assert all(p.requires_grad for p in learn.model.parameters())


def test_parameters_left_frozen_by_an_interrupt_are_freed_by_the_next_fit(tmp_path):
    class Interrupt(Callback):
        def after_batch(self):
            raise KeyboardInterrupt("by hand")

    freezing = FreezeLayers("0.*")
    learn = pixel_learner(tmp_path, cbs=freezing)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 1e-2, cbs=Interrupt())
    assert not learn.model[0].linear.weight.requires_grad
    learn.fit(1, 1e-2)
    assert learn.model[0].linear.weight.requires_grad


# ClusterFeatures


def test_one_cluster_is_the_plain_model(tmp_path):
    results = []
    for cbs in ([], [ClusterFeatures(1)]):
        learn = pixel_learner(tmp_path, cbs=cbs)
        learn.fit(2, 1e-2)
        results.append(weights(learn))
    assert same(*results)


@pytest.mark.parametrize("use, extra", [("feature", 3), ("scalar", 1)])
def test_the_network_reads_the_cluster_of_each_pixel(tmp_path, use, extra):
    learn = pixel_learner(tmp_path, cbs=ClusterFeatures(3, use=use))
    labels = kmeans_labels(torch.as_tensor(picture()), 3)
    assert learn.model[0].linear.in_features == 2 + extra
    assert (learn.model.lookup(learn.dls.valid_ds.coords) == label_features(labels, 3, use)).all()


def test_clusters_help_to_memorise_and_survive_export_and_rendering(tmp_path):
    plain, clustered = (pixel_learner(tmp_path, cbs=cbs, metrics=PSNR()) for cbs in ([], [ClusterFeatures(6)]))
    for learn in (plain, clustered):
        learn.fit(15, 5e-3)
    assert clustered.validate()[1] > plain.validate()[1]
    clustered.export("clustered.pkl")
    assert torch.equal(load_learner(tmp_path / "clustered.pkl").render((9, 9)), clustered.render((9, 9)))
    assert psnr(clustered.render(), picture()) == pytest.approx(clustered.validate()[1], abs=1e-4)


def test_clusters_are_refused_where_they_cannot_act(tmp_path):
    with pytest.raises(ValueError, match="Learner\\(cbs"):
        pixel_learner(tmp_path).fit(1, cbs=ClusterFeatures(2))
    with pytest.raises(ValueError, match="whole image"):
        plain_learner(tmp_path, cbs=ClusterFeatures(2))
    with pytest.raises(ValueError, match="whole image"):
        pixel_learner(tmp_path, valid=0.2, cbs=ClusterFeatures(2))
    with pytest.raises(ValueError, match="on a grid"):
        pixel_learner(tmp_path, dims=(1, 8, 3), coords="line", cbs=ClusterFeatures(2))


# ScaleWidths


def test_scale_widths_doubles_hidden_widths_in_the_optimiser_too(tmp_path):
    learn = pixel_learner(tmp_path, cbs=ScaleWidths(2))
    assert [tuple(p.shape) for p in learn.model.parameters() if p.ndim == 2] == [(32, 2), (32, 32), (3, 32)]
    before = weights(learn)
    learn.fit(1, 1e-2)
    after = weights(learn)
    assert all(not torch.equal(before[k], after[k]) for k in before)


def test_scale_widths_added_to_a_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Learner\\(cbs"):
        pixel_learner(tmp_path).fit(1, cbs=ScaleWidths(2))
    with pytest.raises(ValueError, match="`mult`"):
        ScaleWidths(0)


def test_scale_widths_keeps_the_default_networks_scheme(tmp_path):
    dls = PixelDataLoaders.from_array(picture(), path=tmp_path)
    learn = quiet(siren_learner(dls, cbs=ScaleWidths(0.5)))
    data = dls.train_ds
    expected = init_for_signal_(siren_model([2, 128, 128, 128, 3]), "fast", data.values, data.axis_samples)
    for name, value in learn.model.named_parameters():
        if name == "3.bias":
            torch.testing.assert_close(value.detach(), dls.train_ds.values.mean(0))
        else:
            assert value.std().item() == pytest.approx(expected.get_parameter(name).std().item(), rel=0.2), name


def test_a_network_that_goes_on_in_a_second_learner_is_not_changed_again(tmp_path):
    def callbacks():
        return [ScaleWidths(2), ClusterFeatures(3)]

    model = siren_model([2, 16, 16, 3])
    first = pixel_learner(tmp_path, model=model, cbs=callbacks())
    first.fit(1, 1e-2)
    before = weights(first)
    second = pixel_learner(tmp_path, model=first.model, cbs=callbacks())
    assert second.model is first.model and same(before, weights(second))
    first.export("first.pkl")
    third = pixel_learner(tmp_path, model=load_learner(tmp_path / "first.pkl").model, cbs=callbacks())
    assert same(before, weights(third))
    with pytest.raises(ValueError, match="scaled by 2"):
        pixel_learner(tmp_path, model=first.model, cbs=ScaleWidths(3))
    with pytest.raises(ValueError, match="other features already"):
        pixel_learner(tmp_path, model=first.model, cbs=ClusterFeatures(4))
    with pytest.raises(ValueError, match="learn.model"):
        pixel_learner(tmp_path, model=model, cbs=ClusterFeatures(3))
    assert same(before, weights(first))


# the default network's frequencies


@pytest.mark.parametrize("then", [[], [ApplyInit("fast")]])
@pytest.mark.parametrize("callback", [None, ScaleWidths(2), ScaleWidths(0.5), ClusterFeatures(4)])
def test_the_first_frequencies_follow_the_default_networks_law(tmp_path, callback, then):
    dls = PixelDataLoaders.from_array(picture(16, 32), path=tmp_path)
    data = dls.train_ds
    torch.manual_seed(0)
    wide = init_for_signal_(siren_model([2, 20_000, 3]), "fast", data.values, data.axis_samples)
    learn = quiet(siren_learner(dls, [2, 1000, 3], cbs=copy.deepcopy([*([callback] if callback else []), *then])))
    first, default = learn.model[0].linear.weight.detach()[:, :2], wide[0].linear.weight.detach()
    for ours, wanted in ((first.norm(dim=1), default.norm(dim=1)), *zip(first.T, default.T, strict=True)):
        assert ks_2samp(ours.numpy(), wanted.numpy()).statistic < 0.1
    assert len(first.unique(dim=0)) == len(first)
