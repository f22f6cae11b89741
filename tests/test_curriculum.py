"""Curriculum: which value holds at which batch, and that the setting is what it was before afterwards."""

import pytest
from fastai.callback.core import Callback
from learners import Items, pixel_learner, plain_learner
from test_training_wheels import CtrlC

from siren_fastai.callbacks.curriculum import Curriculum
from siren_fastai.callbacks.training_wheels import TrainingWheels


class Samples(Items):
    """Samples with a noise to be set, from 0 to 1."""

    noise = 0.0

    def __setattr__(self, name, value):
        if name == "noise" and not 0 <= value <= 1:
            raise ValueError(f"`noise` must be from 0 to 1, got {value}")
        super().__setattr__(name, value)

    def __getitem__(self, index):
        if not isinstance(index, int):
            return super().__getitem__(index)
        x, y = super().__getitem__(index)
        self.seen.append(self.noise)
        return x + self.noise, y + 20 * self.noise * x[:2]

    def new_empty(self):
        return Items()


def noisy_learner(path, **kwargs):
    learn = plain_learner(path, **kwargs)
    for dl in learn.dls:
        dl.dataset = Samples(dl.dataset)
        dl.dataset.seen = []
    return learn


def seen_by_batch(learn) -> list:
    """The noise of each training batch, of 16 samples."""
    return learn.dls.train_ds.seen[::16]


def test_each_value_holds_from_the_first_batch_after_its_share_on(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {0.5: 0.3, 0: 0.1, 0.75: 1}))
    learn.fit(4, 1e-3)
    assert seen_by_batch(learn) == [0.1] * 6 + [0.3] * 3 + [1] * 3
    assert [(row["epoch"], row["step"], row["value"]) for row in learn.curriculum.changes] == [
        *[(0, 0, 0.1), (1, 6, 0.3), (2, 9, 1)]
    ]
    assert learn.dls.train_ds.noise == 0.0 and set(learn.dls.valid_ds.seen) == {0.0}


def test_a_change_within_an_epoch_takes_effect_at_the_next_batch(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {1 / 3: 0.5}))
    learn.fit(1, 1e-3)
    assert seen_by_batch(learn) == [0.0, 0.5, 0.5]


def test_a_resumed_fit_begins_with_the_value_of_its_share(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {0: 0.1, 0.5: 0.3, 0.75: 0.4}))
    learn.fit(4, 1e-3, start_epoch=2)
    assert seen_by_batch(learn) == [0.3] * 3 + [0.4] * 3


def test_every_fit_goes_through_the_values_again(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {0: 0.1, 0.5: 0.3}))
    learn.fit(2, 1e-3), learn.fit(2, 1e-3)
    assert seen_by_batch(learn) == [0.1] * 3 + [0.3] * 3 + [0.1] * 3 + [0.3] * 3


def test_lr_find_and_predictions_use_the_setting_as_it_is(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {0: 0.1}))
    learn.lr_find(num_it=6, show_plot=False), learn.validate(), learn.get_preds(ds_idx=0)
    assert set(learn.dls.train_ds.seen) == {0.0} and learn.curriculum.changes == []


def test_after_ctrl_c_the_setting_comes_back_at_once_or_with_the_next_fit(tmp_path):
    learn = noisy_learner(tmp_path, cbs=Curriculum("train_ds.noise", {0: 0.1}))
    for back in (learn.curriculum.restore, learn.validate):
        with pytest.raises(KeyboardInterrupt):
            learn.fit(20, 1e-3, cbs=CtrlC())
        assert learn.dls.train_ds.noise == 0.1
        back()
        assert learn.dls.train_ds.noise == 0.0


class BatchSizes(Callback):
    def before_fit(self):
        self.sizes = []

    def before_batch(self):
        if self.training:
            self.sizes.append(len(self.yb[0]))


@pytest.mark.parametrize("make, sizes", [(plain_learner, [12] * 4 + [24] * 2), (pixel_learner, [12] * 10 + [24] * 5)])
def test_a_loaders_own_settings_follow_with_the_next_epoch(tmp_path, make, sizes):
    learn = make(tmp_path, cbs=[Curriculum("train.bs", {0: 12, 0.5: 24}), BatchSizes()])
    own = learn.dls.train.bs
    learn.fit(2, 1e-3)
    assert learn.batch_sizes.sizes == sizes and learn.dls.train.bs == own


class DeafWheels(TrainingWheels):
    def task_changed(self):
        """Not told."""


@pytest.mark.parametrize("values", [{0: 0.0, 0.5: 1.0}, {0.5: 1.0}])
def test_training_wheels_take_a_harder_task_for_what_it_is(tmp_path, values):
    reverts = []
    for wheels in (
        DeafWheels(every=10, check=7, factor=2, reverts=99),
        TrainingWheels(every=10, check=7, factor=2, reverts=99),
    ):
        learn = noisy_learner(tmp_path, cbs=[wheels, Curriculum("train_ds.noise", values)])
        learn.fit(30, [2e-2])
        reverts.append(len(wheels.reverts))
    assert reverts[0] > 0 and reverts[1] == 0


ERRORS = [
    (dict(setting="train_ds.noize", values={0: 0.1}), "`dls.train_ds` has no setting `noize` .did you mean `noise`"),
    (dict(setting="train_dx.noise", values={0: 0.1}), "`dls` has no `train_dx` .did you mean `train_ds`"),
    (dict(setting="train.noise", values={0: 0.1}), "belongs to `dls.train.dataset`: write 'train.dataset.noise'"),
    (dict(setting="train_ds.noise", values={0: 0.1, 0.9: 7}), "`noise` must be from 0 to 1, got 7"),
]


@pytest.mark.parametrize("options, words", ERRORS)
def test_what_cannot_be_set_is_an_error_before_the_first_batch(tmp_path, options, words):
    learn = noisy_learner(tmp_path, cbs=Curriculum(**options))
    with pytest.raises(ValueError, match=words):
        learn.fit(2, 1e-3)
    assert learn.dls.train_ds.seen == [] and learn.dls.train_ds.noise == 0.0


@pytest.mark.parametrize("values", [{1: 2}, {-0.1: 2}, {"half": 2}, {}, 0.5])
def test_shares_outside_the_fit_are_errors_at_once(values):
    with pytest.raises((ValueError, TypeError), match="`values`"):
        Curriculum("train.bs", values)
    with pytest.raises(ValueError, match="`setting`"):
        Curriculum("train..bs", {0: 1})
