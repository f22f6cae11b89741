"""fastai's TensorBoardCallback with its defaults: the traced network, hyper-parameters, metrics and predictions."""

import numpy as np
import pytest
from learners import pixel_learner, quiet

from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.optimizers import OPTIMIZERS

pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install siren_fastai[test]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard and torch.jit


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def callback(folder):
    from fastai.callback.tensorboard import TensorBoardCallback  # needs the package

    return TensorBoardCallback(folder)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_is_logged_with_every_optimiser(tmp_path, name):
    learn = pixel_learner(tmp_path, opt_func=OPTIMIZERS[name])
    learn.fit(2, 1e-3, cbs=callback(tmp_path / "logs"))
    log = events(tmp_path / "logs")
    assert log.Tags()["graph"] and log.Tags()["images"] == ["Sample results"]
    assert [event.value for event in log.Scalars("psnr")] == pytest.approx([row[2] for row in learn.recorder.values])
    assert len(log.Scalars("lr_0")) == len(log.Scalars("train_loss")) >= 6


@pytest.mark.parametrize("shape", [(64, 2), (4, 5, 6, 1)])
def test_predictions_of_any_signal_on_a_grid_are_logged(tmp_path, shape):
    values = np.random.default_rng(0).random(shape)
    learn = quiet(siren_learner(PixelDataLoaders.from_array(values, path=tmp_path)))
    learn.fit(1, 1e-3, cbs=callback(tmp_path / "logs"))
    assert events(tmp_path / "logs").Tags()["images"] == ["Sample results"]
