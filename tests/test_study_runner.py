"""Running a study: each experiment once, whole or not at all, whatever happens to the processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from study_runs import add, add_but_for_two, add_unless_killed, study_of, wait_until

from siren_fastai.study.experiment import Experiment
from siren_fastai.study.registry import experiment_named, experiment_names
from siren_fastai.study.results import read_results
from siren_fastai.study.runner import run_study
from siren_fastai.study.running.folder import claim_folder
from siren_fastai.study.running.home import counts
from siren_fastai.study.study import load_study

SEEDED = {"sum": Experiment("sum", add, {"b": 10, "seed": 0}, ["a"])}
NAMED = {"sum": Experiment("sum", add, {"b": 10, "c": 0, "seed": 0, "name": ""}, ["a"])}
SUM = {"sum": Experiment("sum", add, {"b": 10}, ["a"])}


def run(study, folder, experiments=SUM, jobs=1, **options):
    return run_study(study, folder, jobs, experiments=experiments, progress=False, **options)


def read(folder, name="result.json"):
    return json.loads((folder / name).read_text())


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_every_experiment_gets_a_folder_with_its_settings_result_and_files(tmp_path):
    outcome = run(study_of(a=[1, 2], b=[3]), tmp_path)
    assert outcome.done == ["a-1_b-3", "a-2_b-3"] and not outcome.failed and outcome.folder == tmp_path
    assert visible(tmp_path) == ["a-1_b-3", "a-2_b-3", "study.json"]
    folder = tmp_path / "a-2_b-3"
    assert visible(folder) == ["more", "result.json", "settings.json"] and read(folder)["total"] == 5
    assert (folder / "more" / "history.csv").read_text() == "step,value\n0,2\n"
    assert read(folder, "settings.json") == {
        "study": "small",
        "experiment": "sum",
        "number": 2,
        "slug": "a-2_b-3",
        "axes": {"a": 2, "b": 3},
        "settings": {"a": 2, "b": 3},
    }
    assert read(tmp_path, "study.json")["title"] == "A small study"


def test_what_is_finished_is_not_run_again(tmp_path):
    run(study_of(a=[1]), tmp_path)
    before = (tmp_path / "a-1" / "result.json").stat().st_mtime_ns
    outcome = run(study_of(a=[1, 2]), tmp_path)
    assert outcome.finished_before == ["a-1"] and outcome.done == ["a-2"]
    assert (tmp_path / "a-1" / "result.json").stat().st_mtime_ns == before


def test_an_axis_with_more_values_numbers_the_finished_ones_anew(tmp_path):
    run(study_of(a=[5]), tmp_path)
    run(study_of(a=[1, 5]), tmp_path)
    assert [read(tmp_path / slug, "settings.json")["number"] for slug in ("a-1", "a-5")] == [1, 2]


def test_a_failure_keeps_its_traceback_and_the_others_go_on(tmp_path):
    failing = {"sum": Experiment("sum", add_but_for_two, {"b": 10}, ["a"])}
    outcome = run(study_of(a=[1, 2, 3]), tmp_path, failing)
    assert outcome.done == ["a-1", "a-3"] and outcome.failed == {"a-2": "RuntimeError: two is not liked here"}
    assert visible(tmp_path / "a-2") == ["error.txt", "settings.json"]
    assert "in add_but_for_two" in (tmp_path / "a-2" / "error.txt").read_text()
    again = run(study_of(a=[1, 2, 3]), tmp_path)
    assert again.done == ["a-2"] and visible(tmp_path / "a-2") == ["more", "result.json", "settings.json"]


def test_results_of_other_settings_are_replaced_only_when_asked_for(tmp_path):
    run(study_of(a=[1, 2], fixed={"b": 1}), tmp_path)
    with pytest.raises(FileExistsError, match=r"a-1 holds a result with b 1, not 2: .* replace 2 results"):
        run(study_of(a=[1, 2], fixed={"b": 2}), tmp_path)
    assert read(tmp_path / "a-1")["total"] == 2
    assert run(study_of(a=[1, 2], fixed={"b": 2}), tmp_path, overwrite=True).done == ["a-1", "a-2"]
    assert read(tmp_path / "a-1")["total"] == 3


def test_a_default_that_was_changed_makes_other_settings_and_a_new_one_does_not(tmp_path):
    run(study_of(a=[1]), tmp_path)
    more = {"sum": Experiment("sum", add, {"b": 10, "c": 0}, ["a"])}
    assert run(study_of(a=[1]), tmp_path, more).finished_before == ["a-1"]
    changed = {"sum": Experiment("sum", add, {"b": 11}, ["a"])}
    with pytest.raises(FileExistsError, match="with b 10, not 11"):
        run(study_of(a=[1]), tmp_path, changed)


def test_folders_that_no_study_wrote_are_left_alone(tmp_path):
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-1" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="a-1 is not the folder of an experiment.*move it away"):
        run(study_of(a=[1]), tmp_path)
    (tmp_path / "a-1" / "settings.json").write_text('{"settings": {}}')
    with pytest.raises(FileExistsError, match="holds thesis.txt, which no experiment wrote"):
        run(study_of(a=[1]), tmp_path)
    assert (tmp_path / "a-1" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("content", ['{"grades": [1, 2]}', "[1]", "no JSON"])
def test_a_study_json_that_no_study_wrote_is_left_alone(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(FileExistsError, match="study.json was not written by a study; choose another output folder"):
        run(study_of(a=[1]), tmp_path, overwrite=True)
    assert (tmp_path / "study.json").read_text() == content and visible(tmp_path) == ["study.json"]


@pytest.mark.parametrize(
    "other, told", [(study_of(name="other", a=[2]), "'other'"), (study_of(a=[1], b=[2]), "'small' with the axes a, b")]
)
def test_results_of_another_study_or_matrix_are_not_mixed_into_one_table(tmp_path, other, told):
    run(other, tmp_path)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(FileExistsError, match=f"is a result of the study {told}, and one table would mix it"):
        run(study_of(a=[1]), tmp_path, overwrite=True)
    assert (tmp_path / "study.json").read_bytes() == before and not (tmp_path / "a-1" / "error.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_seeds_with_other_settings_are_not_mixed_into_one_table(tmp_path, overwrite):
    run(study_of(a=[1], seed=[0, 1], fixed={"b": 1}), tmp_path, SEEDED)
    other = study_of(a=[1], seed=[2, 3], fixed={"b": 2})
    before = visible(tmp_path), (tmp_path / "study.json").read_bytes()
    with pytest.raises(
        FileExistsError, match="a-1_seed-0 holds a result with b 1, not 2, which this run would not rep"
    ):
        run(other, tmp_path, SEEDED, overwrite=overwrite)
    assert (visible(tmp_path), (tmp_path / "study.json").read_bytes()) == before
    more = study_of(a=[1, 2], seed=[2, 3], fixed={"b": 1})
    assert len(run(more, tmp_path, SEEDED).done) == 4 and len(read_results(tmp_path)) == 6


def test_overwriting_some_results_does_not_mix_them_with_the_others(tmp_path):
    run(study_of(a=[1, 2], fixed={"b": 1}), tmp_path)
    changed = study_of(a=[1, 2], fixed={"b": 2})
    with pytest.raises(FileExistsError, match="a-2 holds a result with b 1, not 2, which this run would not replace"):
        run(changed, tmp_path, only=["a-1"], overwrite=True)
    assert read(tmp_path / "a-1")["total"] == 2
    assert run(changed, tmp_path, overwrite=True).done == ["a-1", "a-2"]


def test_a_failure_with_other_settings_is_in_no_table_and_stays(tmp_path):
    failing = {"sum": Experiment("sum", add_but_for_two, {"b": 10}, ["a"])}
    run(study_of(a=[2], fixed={"b": 1}), tmp_path, failing)
    assert run(study_of(a=[1], fixed={"b": 2}), tmp_path).done == ["a-1"]
    assert visible(tmp_path / "a-2") == ["error.txt", "settings.json"]


def test_results_of_another_experiment_are_not_mixed_into_one_table(tmp_path):
    run(study_of(a=[1]), tmp_path)
    with pytest.raises(FileExistsError, match="a-1 holds a result of the experiment 'sum', not 'product'"):
        run(study_of("product", a=[2]), tmp_path, {"product": Experiment("product", add, {"b": 10}, ["a"])})


DERIVED = """
experiment: sum
matrix: {a: [1], seed: %s}
b: 2 * ${seed}
name: ${matrix_slug} is number ${matrix_id}
c: %s
"""


def derived(path, seeds, c="3"):
    path.with_suffix(".yaml").write_text(DERIVED % (seeds, c))
    return load_study(path.with_suffix(".yaml"), experiments=NAMED)


def test_settings_that_follow_from_the_axes_may_differ_and_their_rules_may_not(tmp_path):
    path = tmp_path / "out"
    run(derived(path, "[0, 1]"), path, NAMED)
    assert run(derived(path, "[2, 3]"), path, NAMED).done == ["a-1_seed-2", "a-1_seed-3"]
    assert read(path, "study.json")["derived"] == ["b", "name"]
    table = read_results(path)  # a warning would be an error
    assert sorted(table["b"]) == [0, 2, 4, 6] and table["name"].nunique() == 4
    for c, told in (("4", "with c 3, not 4"), ("3 + ${seed}", "a-1_seed-1 holds a result with c 3, not 4")):
        with pytest.raises(FileExistsError, match=told):
            run(derived(path, "[5]", c), path, NAMED)
    with pytest.raises(FileExistsError, match=r"a-1_seed-0 holds a result for which this study has no settings \("):
        run(derived(path, "[6]", "3 // ${seed}"), path, NAMED)


def test_what_a_run_intended_is_noted_and_counted_with_what_is_there(tmp_path):
    failing = {"sum": Experiment("sum", add_but_for_two, {"b": 10}, ["a"])}
    run(study_of(a=[1, 2, 3, 4], refused=["a-4"]), tmp_path, failing, only=["a-1", "a-2"])
    assert read(tmp_path, "study.json")["slugs"] == ["a-1", "a-2", "a-3"]
    found = counts(tmp_path, read_results(tmp_path)["slug"])
    assert found == (1, 1, 3) and str(found) == "1 of 3 experiments finished, 1 failed"
    run(study_of(a=[1, 2, 3]), tmp_path)
    assert str(counts(tmp_path, read_results(tmp_path)["slug"])) == "3 experiments"


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="notes is a file; name a folder"):
        run(study_of(a=[1]), tmp_path / "notes")


def test_no_more_processes_are_started_than_there_are_experiments(tmp_path, monkeypatch):
    asked = []

    def started(function, calls, jobs, scheduler):
        asked.append(jobs)
        yield from ()

    monkeypatch.setattr("siren_fastai.study.runner.run_jobs", started)
    for jobs in (1, 2, 3, 500):
        run(study_of(a=[1, 2, 3]), tmp_path, jobs=jobs)
    assert asked == [1, 2, 3, 3]


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1"])
def test_a_run_that_reaches_no_scheduler_leaves_nothing(tmp_path, monkeypatch, address):
    monkeypatch.setattr(pytest.importorskip("siren_fastai.jobs.cluster"), "PATIENCE_S", 0.2)
    with pytest.raises((ValueError, OSError), match="must be an address such as|no Dask scheduler answers"):
        run(study_of(a=[1]), tmp_path / "out", scheduler=address)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_with_nothing_to_do_renews_the_description(tmp_path, jobs):
    run(study_of(a=[1]), tmp_path)
    study = study_of(a=[1])
    study.title = "Worded anew"
    assert run(study, tmp_path, jobs=jobs).finished_before == ["a-1"]
    assert read(tmp_path, "study.json")["title"] == "Worded anew"


def test_refused_combinations_are_listed_and_not_run(tmp_path):
    def even(settings):
        if settings["a"] % 2:
            raise ValueError(f"{settings['a']} is odd")

    checked = {"sum": Experiment("sum", add, {"b": 10}, ["a"], even)}
    outcome = run(study_of(a=[1, 2, 4], refused=["a-4"]), tmp_path, checked)
    assert outcome.done == ["a-2"] and outcome.refused == {"a-1": "1 is odd", "a-4": "that one is refused"}
    assert visible(tmp_path) == ["a-2", "study.json"]


def test_only_takes_slugs_and_patterns(tmp_path):
    study = study_of(a=[1, 2, 3], b=[1, 2])
    assert run(study, tmp_path, only=["a-1_b-2", "a-3*"]).done == ["a-1_b-2", "a-3_b-1", "a-3_b-2"]
    with pytest.raises(ValueError, match="`only` must be a list of slugs or patterns, got the text 'a-1\\*'"):
        run(study, tmp_path, only="a-1*")
    with pytest.raises(ValueError, match=r"`only` 'b-1' fits none of the 6 experiments: a-1_b-1, "):
        run(study, tmp_path, only=["b-1"])


@pytest.mark.parametrize(
    "result, message",
    [(3, "must return a dict"), ({"x": [1]}, "column 'x' must be a number"), ({"x": np.ones(2)}, "column 'x'")],
)
def test_an_experiment_that_returns_no_row_fails(tmp_path, result, message):
    outcome = run(study_of(a=[1]), tmp_path, {"sum": lambda settings, folder: result})
    assert message in outcome.failed["a-1"]


def test_numbers_of_numpy_are_numbers_and_what_json_lacks_is_text(tmp_path):
    run(study_of(a=[1]), tmp_path, {"sum": lambda settings, folder: {"x": np.float32(0.5), "y": float("inf")}})
    assert read(tmp_path / "a-1") == {"x": 0.5, "y": "inf"}


def test_wrong_settings_are_an_error_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="has no setting c"):
        run(study_of(a=[1], c=[1]), tmp_path / "out")
    with pytest.raises(ValueError, match="`jobs` must be an integer of 1 or more, got 0"):
        run(study_of(a=[1]), tmp_path / "out", jobs=0)
    with pytest.raises(ValueError, match="there is no experiment 'other'; there are: .*sum"):
        run(study_of("other", a=[1]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_experiment_of_another_run_is_left_to_it(tmp_path):
    claim = claim_folder(tmp_path / "a-1")
    outcome = run(study_of(a=[1, 2]), tmp_path)
    assert outcome.done == ["a-2"] and outcome.elsewhere == ["a-1"]
    claim.abandon()
    assert run(study_of(a=[1, 2]), tmp_path).done == ["a-1"]


def test_an_experiment_that_another_run_finishes_meanwhile_is_not_repeated(tmp_path):
    def meddle(settings, folder):
        if settings["a"] == 1:
            run(study_of(a=[2]), tmp_path)
        return add(settings | {"b": 0}, folder)

    outcome = run(study_of(a=[1, 2]), tmp_path, {"sum": meddle})  # without the default of b: other settings
    assert outcome.done == ["a-1"] and outcome.elsewhere == ["a-2"] and read(tmp_path / "a-2")["total"] == 12


def test_an_interruption_leaves_what_is_finished_and_nothing_else(tmp_path):
    def interrupted(settings, folder):
        if settings["a"] == 2:
            (folder / "half").write_text("x")
            raise KeyboardInterrupt
        return {"x": 1}

    with pytest.raises(KeyboardInterrupt):
        run(study_of(a=[1, 2, 3]), tmp_path, {"sum": interrupted})
    assert visible(tmp_path) == ["a-1", "study.json"] and not list(tmp_path.rglob("half"))
    outcome = run(study_of(a=[1, 2, 3]), tmp_path, {"sum": lambda settings, folder: {"x": 2}})
    assert outcome.finished_before == ["a-1"] and outcome.done == ["a-2", "a-3"]


def test_a_process_killed_while_it_replaced_a_result_loses_nothing(tmp_path):
    run(study_of(a=[1]), tmp_path)
    claim = claim_folder(tmp_path / "a-1")
    (tmp_path / "a-1").rename(tmp_path / ".running" / "a-1" / "replaced")
    claim.lock.release()
    assert run(study_of(a=[1]), tmp_path).elsewhere == ["a-1"] and read(tmp_path / "a-1")["total"] == 11


def test_your_own_experiments_come_before_the_librarys():
    own = Experiment("fit", add)
    assert experiment_named("fit", {"fit": own}) is own
    assert experiment_named("any", {"any": add}).complete({"x": 1}) == {"x": 1}
    with pytest.raises(TypeError, match="'any' must be an Experiment or a function, got 3"):
        experiment_named("any", {"any": 3})
    for name in experiment_names():
        assert experiment_named(name).name == name


# --- in processes


@pytest.mark.slow
def test_an_experiment_that_kills_its_process_fails_and_the_others_go_on(tmp_path):
    outcome = run(
        study_of(a=[1, 2, 3, 4]), tmp_path, {"sum": Experiment("sum", add_unless_killed, {"b": 10}, ["a"])}, jobs=2
    )
    assert sorted(outcome.done) == ["a-1", "a-3", "a-4"] and "was killed" in outcome.failed["a-2"]
    rows = [read(tmp_path / slug) for slug in outcome.done]
    assert {row["threads"] for row in rows} == {1} and os.getpid() not in {row["process"] for row in rows}
    assert visible(tmp_path / "a-2") == ["error.txt", "settings.json"]


SCRIPT = """
import sys
from study_runs import add_slowly, study_of
from siren_fastai.study.runner import run_study
log, folder, seconds = sys.argv[1:]
study = study_of("slow", a=list(range(8)), fixed={"b": 0, "log": log, "seconds": float(seconds)})
if __name__ == "__main__":
    print(len(run_study(study, folder, 2, experiments={"slow": add_slowly}, progress=False).done))
"""


@pytest.fixture
def start(tmp_path):
    """Start a run of 8 slow experiments in a process of its own; they say in the folder `log` that they have begun."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    (tmp_path / "log").mkdir()

    def started(seconds):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "log"), str(tmp_path / "out"), str(seconds)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    return started


def begun(folder):
    """The numbers of the processes that have begun an experiment, by experiment."""
    return {path.name.split("-")[0]: int(path.name.split("-")[1]) for path in (folder / "log").iterdir()}


def finished(folder):
    return sorted(path.parent.name for path in folder.glob("out/*/result.json"))


def runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_killed_run_ends_its_processes_and_the_next_one_goes_on(tmp_path, start):
    first = start(1.0)
    assert wait_until(lambda: len(finished(tmp_path)) >= 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert wait_until(lambda: not any(map(runs, begun(tmp_path).values())))
    before = finished(tmp_path)
    assert len(before) < 8 and visible(tmp_path / "out") == sorted([*before, "study.json"])
    second = start(1.0)
    assert int(second.communicate()[0]) == 8 - len(before) and len(finished(tmp_path)) == 8
    assert not list((tmp_path / "out" / ".running").glob("*/*/*"))


@pytest.mark.slow
def test_two_runs_in_one_folder_share_the_experiments(tmp_path, start):
    processes = [start(0.5), start(0.5)]
    assert sum(int(process.communicate()[0]) for process in processes) == 8 and len(finished(tmp_path)) == 8
    assert len(list((tmp_path / "log").iterdir())) == 8  # each was begun once
