"""What each callback does, in addition to the promises that all keep."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback, CancelBatchException
from fastai.learner import load_learner
from fastai.optimizer import SGD, Adam, ranger
from learners import picture, pixel_learner, plain_learner, quiet, same, weights
from PIL import Image

from siren_fastai.analysis.history import COLUMNS, from_records, read_history
from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.save_picture_at import USABILITY_LEVELS, SavePictureAt
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.watch_fit import WatchFit
from siren_fastai.clusters import kmeans_labels, label_features
from siren_fastai.data import PixelDataLoaders
from siren_fastai.images import load_image
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR, SSIM
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


@pytest.mark.parametrize("kind, extra", [("onehot", 3), ("scalar", 1)])
def test_the_network_reads_the_cluster_of_each_pixel(tmp_path, kind, extra):
    learn = pixel_learner(tmp_path, cbs=ClusterFeatures(3, kind=kind))
    labels = kmeans_labels(torch.as_tensor(picture()), 3)
    assert learn.model[0].linear.in_features == 2 + extra
    assert (learn.model.lookup(learn.dls.valid_ds.coords) == label_features(labels, 3, kind)).all()


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
    with pytest.raises(ValueError, match="whole picture"):
        plain_learner(tmp_path, cbs=ClusterFeatures(2))
    with pytest.raises(ValueError, match="whole picture"):
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
    expected = apply_init_(siren_model([2, 128, 128, 128, 3]), "fast")
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


# MetricHistory


@pytest.mark.parametrize("new_learner", [pixel_learner, plain_learner])
def test_history_counts_epochs_steps_and_samples_over_all_fits(tmp_path, new_learner):
    learn = new_learner(tmp_path, cbs=MetricHistory())
    batches, samples = len(learn.dls.train), sum(len(b[1]) for b in learn.dls.train)
    learn.fit(2, 1e-3)
    learn.validate(), learn.get_preds(), learn.lr_find(num_it=3, show_plot=False)
    learn.fit_one_cycle(3, 1e-2)
    table = learn.metric_history.to_frame()
    assert table.epoch.tolist() == [0, 1, 2, 3, 4] and table.fit.tolist() == [0, 0, 1, 1, 1]
    assert table.opt_steps.tolist() == [batches * i for i in range(1, 6)]
    assert table.samples_seen.tolist() == [samples * i for i in range(1, 6)]
    assert table.lr.iloc[1] == 1e-3 and table.lr.iloc[-1] == learn.recorder.lrs[-1] != 1e-3
    assert (table.seconds.diff().iloc[1:] > 0).all() and (table.train_seconds <= table.seconds).all()


def test_history_rows_hold_fastais_own_numbers(tmp_path):
    learn = pixel_learner(tmp_path, cbs=MetricHistory(), metrics=PSNR())
    learn.fit(3, 1e-3)
    table = learn.metric_history.to_frame()
    assert table[["train_loss", "valid_loss", "psnr"]].values.tolist() == [list(row) for row in learn.recorder.values]


def test_history_counts_no_step_where_none_happened(tmp_path):
    class Skip(Callback):
        def before_batch(self):
            if self.training and self.iter == 0:
                raise CancelBatchException

    learn = pixel_learner(tmp_path, cbs=[MetricHistory(), Skip()])
    learn.fit(1, 1e-3)
    assert learn.metric_history.rows[0]["opt_steps"] == len(learn.dls.train) - 1


def test_history_files_hold_the_table_and_replace_old_ones(tmp_path):
    learn = pixel_learner(tmp_path, cbs=MetricHistory())
    learn.fit(2, 1e-3)
    learn.metric_history.rows[0]["psnr"] = float("inf")
    table = learn.metric_history.to_frame()
    for _ in range(2):
        csv, js = learn.metric_history.to_csv(tmp_path / "h.csv"), learn.metric_history.to_json(tmp_path / "h.json")
    pd.testing.assert_frame_equal(pd.read_csv(csv), table)
    rows = json.loads(js.read_text())
    assert rows[0]["psnr"] == "inf" and rows[1]["valid_loss"] == table.valid_loss[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.csv", "h.json"]
    assert len(learn.metric_history.plot(["valid_loss", "psnr"], x="seconds")) == 2


def test_history_files_are_read_by_the_reader_of_history_txt(tmp_path):
    learn = pixel_learner(tmp_path, cbs=MetricHistory(), metrics=[PSNR(), SSIM()], size=(12, 12))
    learn.fit(2, 1e-3), learn.fit(1, 1e-3)
    table = from_records(learn.metric_history.to_frame())
    assert tuple(table.columns) == COLUMNS and table["Epoch"].tolist() == [0, 1, 2]
    expected = [list(row)[1:] for row in learn.recorder.values]  # of the last fit
    assert table.iloc[2:, 1:].to_numpy().tolist() == expected
    for path in (learn.metric_history.to_csv(tmp_path / "h.csv"), learn.metric_history.to_json(tmp_path / "h.json")):
        pd.testing.assert_frame_equal(read_history(path), table)


def test_a_metric_that_only_some_fits_have_is_nan_in_the_history_of_the_others(tmp_path):
    learn = pixel_learner(tmp_path, cbs=MetricHistory(), metrics=[])
    learn.fit(1, 1e-3)
    learn.metrics = [PSNR()]
    learn.fit(1, 1e-3)
    for path in (learn.metric_history.to_csv(tmp_path / "h.csv"), learn.metric_history.to_json(tmp_path / "h.json")):
        levels = read_history(path)["train_psnr (db)"]
        assert levels.isna().tolist() == [True, False] and levels[1] == learn.recorder.values[-1][-1]


def test_history_shows_itself_as_a_table_in_a_notebook(tmp_path):
    learn = pixel_learner(tmp_path, cbs=MetricHistory())
    assert "no epochs yet" in repr(learn.metric_history) and "no epochs yet" in learn.metric_history._repr_html_()
    learn.fit(2, 1e-3)
    html, psnr = learn.metric_history._repr_html_(), learn.recorder.values[-1][-1]
    assert html.count("<tr") == 3 and "valid_loss" in html and f"{psnr:.5g}" in html
    assert "2 epochs in 1 fits" in repr(learn.metric_history) and f"psnr {psnr:.4g}" in repr(learn.metric_history)


def test_history_without_epochs_has_nothing_to_draw():
    with pytest.raises(ValueError, match="fit first"):
        MetricHistory().plot()


# StopAt


def test_stop_at_ends_the_fit_at_the_first_epoch_that_reaches_the_value(tmp_path):
    free = pixel_learner(tmp_path, cbs=MetricHistory())
    free.fit(12, 5e-3)
    table = free.metric_history.to_frame()
    target = float(table.psnr.iloc[5])
    first = int((table.psnr >= target).idxmax())
    stopped = pixel_learner(tmp_path, cbs=[MetricHistory(), StopAt("psnr", target)])
    stopped.fit(12, 5e-3)
    assert len(stopped.metric_history.rows) == first + 1
    reached = stopped.stop_at.reached
    assert reached["epoch"] == first and reached["value"] >= target and reached["seconds"] > 0
    assert reached["opt_steps"] == table.opt_steps[first]


def test_stop_at_knows_that_losses_fall(tmp_path, capsys):
    learn = plain_learner(tmp_path, cbs=StopAt("valid_loss", 1e9))
    learn.fit(3, 1e-3)
    assert learn.stop_at.reached["epoch"] == 0 and capsys.readouterr().out == ""


def test_stop_at_says_once_per_fit_that_its_level_was_not_reached(tmp_path, capsys):
    learn = pixel_learner(tmp_path, cbs=StopAt("psnr", 90))
    learn.fit(3, 1e-3)
    best = max(psnr for _, _, psnr in learn.recorder.values)
    assert learn.stop_at.reached is None
    assert capsys.readouterr().out == f"StopAt: psnr did not reach 90 in 3 epochs, the best is {best:.4g}\n"
    learn.validate(), learn.get_preds(), learn.lr_find(num_it=3, show_plot=False)
    assert "StopAt" not in capsys.readouterr().out


def test_stop_at_survives_a_metric_that_is_not_a_number(tmp_path, capsys):
    learn = plain_learner(tmp_path, cbs=StopAt("valid_loss", 0.0))
    with torch.no_grad():
        learn.model[0].weight.fill_(torch.nan)
    learn.fit(1, 1e-3)
    assert "did not reach 0 in 1 epochs, the best is nan" in capsys.readouterr().out


def test_stop_at_names_the_columns_there_are(tmp_path):
    with pytest.raises(ValueError, match="train_loss.*ssimm"):
        pixel_learner(tmp_path).fit(1, cbs=StopAt("ssimm", 1.0))


# SavePictureAt


def test_usability_levels_are_the_notes():
    assert [round(level, 1) for level in USABILITY_LEVELS.values()] == [23.9, 29.9, 43.9]


def test_images_are_saved_once_when_a_level_is_first_reached(tmp_path):
    learn = pixel_learner(tmp_path, cbs=[MetricHistory(), SavePictureAt(tmp_path / "levels", levels=(8.0, 12.0, 90.0))])
    learn.fit(8, 3e-3)
    saved, table = learn.save_picture_at.saved, learn.metric_history.to_frame()
    assert set(saved) == {8.0, 12.0}
    for level, (path, epoch, quality) in saved.items():
        assert epoch == (table.psnr >= level).idxmax() and quality == pytest.approx(table.psnr[epoch], abs=1e-3)
        assert psnr(load_image(path), picture()) == pytest.approx(quality, abs=0.2)


def test_saving_images_needs_images(tmp_path):
    with pytest.raises(ValueError, match="from_image"):
        plain_learner(tmp_path).fit(1, cbs=SavePictureAt(tmp_path))
    with pytest.raises(ValueError, match="`levels`"):
        SavePictureAt(levels=())


@pytest.mark.parametrize("make", [SavePictureAt, WatchFit])
def test_snapshots_are_due_after_the_first_epoch_every_few_and_the_last(tmp_path, make):
    """Both callbacks have the same `every` and the same `size` as `render`."""
    callback = make(every=2, size=20)
    learn = pixel_learner(tmp_path, cbs=callback)
    due = []

    class Note(Callback):
        order = callback.order + 1

        def after_epoch(self):
            due.append(callback.due)

    learn.fit(4, 1e-3, cbs=Note())
    assert due == [True, False, True, True]


def test_the_files_and_frames_have_the_size_that_render_gives(tmp_path):
    cbs = [SavePictureAt(tmp_path, levels=(1.0,), size=20), WatchFit(tmp_path / "fit.gif", size=20)]
    learn = pixel_learner(tmp_path, cbs=cbs)
    learn.fit(1, 1e-3)
    assert learn.render(20).shape == (24, 20, 3)
    assert load_image(tmp_path / "at_1.0dB.png").shape == (24, 20, 3)
    assert [frame.size for frame in learn.watch_fit.frames] == [(20, 24)]


@pytest.mark.parametrize("make", [SavePictureAt, WatchFit])
@pytest.mark.parametrize(
    "options, name", [(dict(every=0), "`every`"), (dict(size=0), "`size`"), (dict(size=(4,)), "`size`")]
)
def test_bad_options_of_snapshots_are_named_before_any_fit(make, options, name):
    with pytest.raises(ValueError, match=name):
        make(**options)


# WatchFit


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_animation_has_a_frame_per_snapshot(tmp_path, suffix):
    path = tmp_path / f"fit{suffix}"
    learn = pixel_learner(tmp_path, cbs=WatchFit(path, every=2, size=(24, 20)))
    learn.fit(5, 1e-2)
    with Image.open(path) as animation:
        assert animation.n_frames == 3 and animation.size == (20, 24)


@pytest.mark.parametrize("make", [lambda path: SavePictureAt(path), lambda path: WatchFit(path / "fit.gif")])
def test_images_without_a_grid_are_refused_before_training(tmp_path, make):
    learn = pixel_learner(tmp_path, dims=(1, 8, 3), coords="line")
    before = weights(learn)
    with pytest.raises(ValueError, match="on a grid"):
        learn.fit(1, cbs=make(tmp_path))
    assert same(before, weights(learn))


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 255.0)])
def test_images_in_any_range_are_saved_and_watched_from_black_to_white(tmp_path, low, high):
    values = np.round(picture() * 255) / 255 * (high - low) + low
    model = siren_model([2, 16, 3])
    with torch.no_grad():
        model[-1].weight.mul_(high - low)
        model[-1].bias.fill_(0.75 * (high - low) + low)
    cbs = [SavePictureAt(tmp_path, levels=(1.0,)), WatchFit(tmp_path / "fit.gif"), MetricHistory()]
    dls = PixelDataLoaders.from_array(values, path=tmp_path, value_range=(low, high))
    learn = quiet(siren_learner(dls, model, cbs=cbs))
    learn.fit(1, 0.0)
    path, _, quality = learn.save_picture_at.saved[1.0]
    assert quality == pytest.approx(learn.metric_history.rows[0]["psnr"], abs=1e-3)
    seen = (learn.render() - low) / (high - low)
    assert seen.std() > 0.03 and (load_image(path) - seen).abs().max() < 0.01
    frame = load_image(learn.watch_fit.frames[0])
    assert (frame - seen).abs().max() < 0.01


def test_levels_in_db_need_a_stated_range_and_watching_does_not(tmp_path):
    dls = PixelDataLoaders.from_array(picture() * 7 - 3, path=tmp_path)
    learn = quiet(siren_learner(dls, siren_model([2, 8, 3])))
    with pytest.raises(ValueError, match="give `from_array` a `value_range`"):
        learn.fit(1, cbs=SavePictureAt(tmp_path))
    watch = WatchFit(tmp_path / "fit.gif")
    learn.fit(1, cbs=watch)
    assert len(watch.frames) == 1


def test_frames_are_not_exported(tmp_path):
    learn = pixel_learner(tmp_path, cbs=WatchFit(tmp_path / "fit.gif"))
    learn.fit(2, 1e-2)
    learn.export("learner.pkl")
    loaded = load_learner(tmp_path / "learner.pkl").watch_fit
    assert len(learn.watch_fit.frames) == 2 and loaded.frames == [] and loaded.display is None
    assert loaded.path == tmp_path / "fit.gif"


def test_watch_fit_names_bad_options():
    with pytest.raises(ValueError, match=".webp or .gif"):
        WatchFit("fit.mp4")
    with pytest.raises(ValueError, match="`fps`"):
        WatchFit(fps=0)
