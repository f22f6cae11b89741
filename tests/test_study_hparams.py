"""A study in TensorBoard's HPARAMS tab: the event files, read back by TensorBoard itself."""

import pytest
from study_runs import study_of

from siren_fastai.study.hparams import write_hparams
from siren_fastai.study.runner import run_study

pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install siren_fastai[test]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard


@pytest.fixture
def folder(tmp_path):
    def result(settings, folder):
        return {"psnr": 30.0 + settings["seed"], "steps_to_30": None, "diverged": False, "mse": float("inf")}

    study = study_of("one", scheme=[1, "fast"], seed=[0, 1], fixed={"lr": 0.001, "hidden": [8, 8], "size": 16})
    run_study(study, tmp_path / "out", 1, experiments={"one": result}, progress=False)
    return tmp_path / "out"


def read_back(folder):
    """The settings and the metrics of each run, as TensorBoard's plugin keeps them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        log = EventAccumulator(str(path)).Reload()
        content = log.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        values = {
            name: getattr(value, kind) if (kind := value.WhichOneof("kind")) else None
            for name, value in started.hparams.items()
        }
        found[path.name] = values, {tag: log.Scalars(tag)[-1].value for tag in log.Tags()["scalars"]}
    return found


def test_every_experiment_is_there_with_its_settings_and_numbers(folder):
    found = read_back(write_hparams(folder))
    assert set(found) == {f"scheme-{scheme}_seed-{seed}" for scheme in (1, "fast") for seed in (0, 1)}
    settings, numbers = found["scheme-fast_seed-1"]
    assert settings == {"scheme": "fast", "seed": 1, "lr": 0.001, "hidden": "[8,8]"}
    assert numbers == {"result/psnr": 31, "result/diverged": 0}


def test_a_second_call_replaces_the_first_and_nothing_else(folder):
    target = write_hparams(folder)
    before = len(list(target.rglob("*")))
    assert len(list(write_hparams(folder).rglob("*"))) == before
    (target / "notes.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="notes.txt is not TensorBoard's"):
        write_hparams(folder)
    assert (target / "notes.txt").read_text() == "precious"
