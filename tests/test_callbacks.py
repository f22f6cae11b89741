"""The promises that every callback of ours keeps, on images and, where it claims so, in a plain fastai Learner."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from fastai.callback.core import Callback, event
from fastai.callback.schedule import lr_find  # noqa: F401  gives Learner.lr_find
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import pixel_learner, plain_learner, same, tile_learner, weights

import siren_fastai.callbacks
from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.count_samples import CountSamples
from siren_fastai.callbacks.curriculum import Curriculum
from siren_fastai.callbacks.diagnose import Diagnose
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.sample_positions import SamplePositions
from siren_fastai.callbacks.save_picture_at import SavePictureAt
from siren_fastai.callbacks.scale_widths import ScaleWidths
from siren_fastai.callbacks.smooth_hole import SmoothHole
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.callbacks.watch_fit import WatchFit

ANYWHERE = {  # name of the case: the callback, made for a folder; these work in any Learner
    "FreezeLayers": lambda path: FreezeLayers("0.*"),
    "ScaleWidths": lambda path: ScaleWidths(2),
    "MetricHistory": lambda path: MetricHistory(),
    "StopAt": lambda path: StopAt("valid_loss", 0.0),
    "CodeSpread": lambda path: CodeSpread(0.1, of="0"),
    "CountSamples": lambda path: CountSamples(70),
    "Curriculum": lambda path: Curriculum("train.bs", {0: 8, 0.5: 16}),
    "Diagnose": lambda path: Diagnose(),
    "TrainingWheels": lambda path: TrainingWheels(every=2, check=1),
    "QuantizeAware": lambda path: QuantizeAware(5),
    "QuantizeAware-budget": lambda path: QuantizeAware(5, budget_bits=500, ramp=0.0),
}
IMAGES = {  # these need sine layers or an image
    **ANYWHERE,
    "ApplyInit": lambda path: ApplyInit("siren"),
    "ClusterFeatures": lambda path: ClusterFeatures(3),
    "SavePictureAt": lambda path: SavePictureAt(path, levels=(1.0, 60.0)),
    "SmoothHole": lambda path: SmoothHole(count=8, hole=np.tri(12, 10, dtype=bool)),
    "WatchFit": lambda path: WatchFit(path / "fit.gif"),
}
CODES = {
    "SamplePositions": lambda path: SamplePositions(40),
    "CodeSpread": lambda path: CodeSpread(0.1),
}  # autoencoders'
KINDS = {"pixels": (pixel_learner, IMAGES), "plain": (plain_learner, ANYWHERE), "codes": (tile_learner, CODES)}
CASES = [(new_learner, make) for new_learner, makers in KINDS.values() for make in makers.values()]
NAMES = [f"{kind}-{name}" for kind, (_, makers) in KINDS.items() for name in makers]


def callback_classes():
    """The classes of the package `callbacks` that users can add, by name; not those that others are built on."""
    modules = [
        importlib.import_module(f"{siren_fastai.callbacks.__name__}.{module.name}")
        for module in pkgutil.iter_modules(siren_fastai.callbacks.__path__)
    ]
    found = {c for m in modules for c in vars(m).values() if inspect.isclass(c) and issubclass(c, Callback)}
    ours = {c for c in found if c.__module__.startswith(siren_fastai.callbacks.__name__)}
    public = {c for c in ours if not c.__name__.startswith("_")}
    return {c.__name__ for c in public if not any(issubclass(o, c) and o is not c for o in public)}


def test_every_callback_is_among_the_cases():
    assert {name.split("-")[0] for name in [*IMAGES, *CODES]} == callback_classes()


@pytest.fixture(params=CASES, ids=NAMES)
def made(request, tmp_path):
    """(learner, callback, a function that makes another such pair)"""
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
    classes = [c for c in type(callback).__mro__ if c.__module__.startswith("siren_fastai")]
    methods = [name for c in classes for name in vars(c) if name.startswith(("before_", "after_"))]
    assert methods and all(hasattr(event, name) for name in methods)


def test_3_validate_and_lr_find_leave_the_weights_of_a_new_learner(made):
    learn, _, _ = made
    check_evaluation_changes_nothing(learn)


def test_4_validate_and_lr_find_leave_the_weights_of_a_trained_learner(made):
    learn, _, _ = made
    learn.fit(2, 1e-2)
    check_evaluation_changes_nothing(learn)


def check_evaluation_changes_nothing(learn):
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
