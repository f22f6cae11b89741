"""The promises that every callback of ours keeps, on pictures and, where it makes sense, in a plain fastai Learner."""

import pytest
from fastai.callback.core import event
from fastai.callback.schedule import lr_find  # noqa: F401  gives Learner.lr_find
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import pixel_learner, plain_learner, same, weights

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.save_picture_at import SavePictureAt
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.watch_fit import WatchFit

ANYWHERE = {  # callback -> the learner it is given to, as a function of a folder
    "FreezeLayers": lambda path: FreezeLayers("0.*"),
    "ScaleWidths": lambda path: ScaleWidths(2),
    "MetricHistory": lambda path: MetricHistory(),
    "StopAt": lambda path: StopAt("valid_loss", 0.0),
    "QuantizeAware": lambda path: QuantizeAware(5),
    "QuantizeAware-budget": lambda path: QuantizeAware(5, budget_bits=500),
}
PICTURES = {
    **ANYWHERE,
    "ApplyInit": lambda path: ApplyInit("siren"),
    "ClusterFeatures": lambda path: ClusterFeatures(3),
    "SavePictureAt": lambda path: SavePictureAt(path, levels=(1.0, 60.0)),
    "WatchFit": lambda path: WatchFit(path / "fit.gif"),
}
CASES = [(pixel_learner, make) for make in PICTURES.values()] + [(plain_learner, make) for make in ANYWHERE.values()]
NAMES = [f"pixels-{name}" for name in PICTURES] + [f"plain-{name}" for name in ANYWHERE]


@pytest.fixture(params=CASES, ids=NAMES)
def made(request, tmp_path):
    """(learner, callback, a function that makes the same pair anew)"""
    new_learner, new_callback = request.param

    def make():
        callback = new_callback(tmp_path)
        return new_learner(tmp_path, cbs=[callback]), callback

    return *make(), make


def test_1_its_name_is_free_on_a_plain_learner(made, tmp_path):
    learn, callback, _ = made
    assert not hasattr(plain_learner(tmp_path), callback.name)
    assert getattr(learn, callback.name) is callback


def test_2_every_event_method_is_a_real_event(made):
    _, callback, _ = made
    methods = [name for name in vars(type(callback)) if name.startswith(("before_", "after_"))]
    assert methods and all(hasattr(event, name) for name in methods)


def test_3_looking_at_a_fresh_learner_leaves_its_weights(made):
    learn, _, _ = made
    look_at_without_change(learn)


def test_4_looking_at_a_trained_learner_leaves_its_weights(made):
    learn, _, _ = made
    learn.fit(2, 1e-2)
    look_at_without_change(learn)


def look_at_without_change(learn):
    before = weights(learn)
    learn.validate()
    learn.get_preds()
    assert same(before, weights(learn))
    learn.lr_find(num_it=4, show_plot=False)
    assert same(before, weights(learn))


def test_5_it_survives_two_fits_and_training_goes_on(made):
    learn, _, _ = made
    learn.fit(2, 1e-2)
    between = weights(learn)
    learn.fit(2, 1e-2)
    assert not same(between, weights(learn))


def test_6_the_learner_exports_and_loads(made, tmp_path):
    learn, callback, _ = made
    learn.fit(1, 1e-2)
    learn.export("learner.pkl")
    loaded = load_learner(tmp_path / "learner.pkl")
    assert same(weights(learn), weights(loaded))
    assert type(getattr(loaded, callback.name)) is type(callback)


def test_7_what_was_trainable_is_trainable_afterwards(made):
    learn, _, _ = made
    before = [p.requires_grad for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    assert [p.requires_grad for p in learn.model.parameters()] == before


def test_8_same_seed_same_weights(made):
    learn, _, make = made
    results = []
    for learner in (learn, make()[0]):
        set_seed(7, reproducible=True)
        learner.fit(2, 1e-2)
        results.append(weights(learner))
    assert same(*results)
