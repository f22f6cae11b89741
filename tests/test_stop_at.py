"""StopAt: when a fit ends, and what is printed if it never gets there."""

import pytest
import torch
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from learners import pixel_learner, plain_learner

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.stop_at import StopAt


def test_stop_at_ends_the_fit_at_the_first_epoch_that_reaches_the_value(tmp_path):
    free = pixel_learner(tmp_path, cbs=MetricHistory())
    free.fit(12, 5e-3)
    table = free.metric_history.to_frame()
    target = float(table.psnr.iloc[5]) - 0.01  # two fits may differ in the last bits
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


@pytest.mark.parametrize("stop_first", [True, False])
def test_the_best_epoch_is_saved_though_it_ends_the_fit(tmp_path, stop_first):
    cbs = [StopAt("psnr", -99.0), SaveModelCallback(monitor="psnr", fname="best")]
    learn = pixel_learner(tmp_path, cbs=cbs if stop_first else cbs[::-1])
    learn.fit(3, 1e-3)
    assert learn.stop_at.reached["epoch"] == 0
    assert learn.save_model.best == learn.stop_at.reached["value"] and (tmp_path / "models" / "best.pth").exists()


def test_a_level_that_is_reached_as_another_callback_ends_the_fit_counts(tmp_path, capsys):
    learn = pixel_learner(tmp_path, cbs=EarlyStoppingCallback("psnr", min_delta=99.0, patience=1))
    learn.fit(2, 1e-3)
    level = learn.recorder.values[-1][-1]
    again = pixel_learner(
        tmp_path, cbs=[EarlyStoppingCallback("psnr", min_delta=99.0, patience=1), StopAt("psnr", level - 1e-3)]
    )
    again.fit(2, 1e-3)
    assert again.stop_at.reached["epoch"] == 1 and "StopAt" not in capsys.readouterr().out
