"""MetricHistory: its rows, its files and what it shows."""

import json

import pandas as pd
import pytest
from fastai.callback.core import Callback, CancelBatchException
from learners import pixel_learner, plain_learner

from siren_fastai.analysis.history import COLUMNS, from_records, read_history
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.metrics import PSNR, SSIM


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
