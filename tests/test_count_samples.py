"""Samples as the unit: counted, a fit that ends by them, and schedules over them."""

import pytest
from fastai.callback.schedule import ParamScheduler, SchedLin
from learners import pixel_learner, plain_learner

from siren_fastai.callbacks.count_samples import CountSamples, epochs_for
from siren_fastai.callbacks.metric_history import MetricHistory


def learner(path, **options):
    return pixel_learner(path, cbs=[MetricHistory()], **options)  # 120 samples in 3 batches of 40


def test_samples_are_counted_over_all_fits_and_not_by_validate_or_lr_find(tmp_path):
    learn = plain_learner(tmp_path, cbs=CountSamples())
    learn.fit(2, 1e-3)
    learn.validate()
    learn.lr_find(num_it=6, show_plot=False)
    assert learn.samples == 96
    learn.fit(1, 1e-3)
    assert learn.samples == 144


def test_a_fit_ends_with_the_batch_that_reaches_the_samples_and_is_validated(tmp_path):
    learn = learner(tmp_path)
    learn.fit(10, 1e-3, cbs=CountSamples(190))
    rows = learn.metric_history.rows
    assert [row["samples_seen"] for row in rows] == [120, 200] and learn.samples == 200
    assert rows[1]["valid_loss"] == pytest.approx(learn.validate()[0], rel=1e-6)
    assert rows[1]["train_loss"] > 0 and rows[1].keys() == rows[0].keys()
    learn.fit(10, 1e-3, cbs=CountSamples(120))
    assert learn.samples == 320 and len(learn.metric_history.rows) == 3


def test_schedules_run_over_the_samples(tmp_path):
    learn = learner(tmp_path)
    learn.fit(9, cbs=[CountSamples(200), ParamScheduler({"lr": SchedLin(1.0, 0.0)})])
    assert learn.recorder.lrs == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_one_cycle_is_the_usual_one_if_the_samples_are_those_of_the_epochs(tmp_path):
    usual, counted = learner(tmp_path), learner(tmp_path)
    usual.fit_one_cycle(4, 1e-3)
    counted.fit_one_cycle(4, 1e-3, cbs=CountSamples(480))
    assert counted.recorder.lrs == pytest.approx(usual.recorder.lrs)
    assert len(counted.metric_history.rows) == 4


def test_a_fit_with_fewer_epochs_than_samples_ends_with_its_epochs(tmp_path):
    learn = learner(tmp_path)
    learn.fit(2, 1e-3, cbs=CountSamples(10_000))
    assert learn.samples == 240


def test_epochs_for_a_number_of_samples(tmp_path):
    dl = learner(tmp_path).dls.train
    assert [epochs_for(n, dl) for n in (1, 120, 121, 480)] == [1, 1, 2, 4]
    assert epochs_for(48, plain_learner(tmp_path).dls.train) == 1
    with pytest.raises(ValueError, match="no samples to train on"):
        epochs_for(5, dl.new(dl.dataset.new_empty(), n=None))


@pytest.mark.parametrize("n", [0, -1, 1.5, "many", True])
def test_the_number_of_samples_is_an_integer_of_one_or_more(n):
    with pytest.raises(ValueError, match="`max_samples` must be"):
        CountSamples(n)
