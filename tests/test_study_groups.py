"""Experiments that run as one job: which ones, and that their folders are as if each had run alone."""

import json
from dataclasses import replace

import pytest
from study_runs import study_of

from siren_fastai.study.experiment import Experiment, Together
from siren_fastai.study.runner import run_study
from siren_fastai.study.running.groups import grouped
from siren_fastai.study.study import load_study


def add(settings, folder):
    if settings["a"] == 13:
        raise ValueError("thirteen is not liked here")
    (folder / "alone.txt").write_text("")
    return {"total": settings["a"] + settings["b"]}


def add_all(settings, folders):
    for folder in folders:
        (folder / "together.txt").write_text(str(len(settings)))
    if any(own["a"] == 13 for own in settings):
        raise ValueError("not with thirteen")
    return [{"total": own["a"] + own["b"]} for own in settings]


def suits(settings):
    return settings["a"] >= 0


def best(settings):
    return 3


def is_time(column):
    return column == "hours"


def on_gpu(settings):
    return settings["b"] == 99


TOGETHER = Together(add_all, ["a"], suits, best, on_gpu, is_time)
SUM = {"sum": Experiment("sum", add, {"b": 10}, ["a"], together=TOGETHER)}


def groups(settings, **options):
    return list(grouped(settings, lambda item: item, TOGETHER, **options))


def pairs(*numbers, b=0):
    return [{"a": a, "b": b} for a in numbers]


def test_a_group_differs_in_nothing_but_what_may_vary_and_has_the_best_size():
    mixed = [*pairs(1, 2), *pairs(3, b=1), *pairs(4, 5), *pairs(6, b=1)]
    assert groups(mixed) == [pairs(1, 2, 4), pairs(5), pairs(3, 6, b=1)]


def test_what_does_not_suit_runs_alone_and_no_group_has_more_than_asked_for():
    assert groups(pairs(1, -2, -3, 4)) == [pairs(-2), pairs(-3), pairs(1, 4)]
    assert groups(pairs(1, 2, 3, 4, 5), most=2) == [pairs(1, 2), pairs(3, 4), pairs(5)]
    assert groups(pairs(1, 2, 3, 4, 5), most=5) == [pairs(1, 2, 3, 4, 5)]
    assert groups(pairs(1, 2), most=1) == [pairs(1), pairs(2)]
    assert list(grouped(pairs(1, 2), dict, None)) == [pairs(1), pairs(2)]


def test_every_process_gets_some():
    assert groups(pairs(1, 2, 3, 4), processes=2) == [pairs(1, 2), pairs(3, 4)]


def run(study, folder, **options):
    return run_study(study, folder, 1, experiments=SUM, progress=False, **options)


def content(folder, name):
    return (folder / name).read_text()


def test_experiments_of_a_group_have_their_own_folders_and_results(tmp_path):
    outcome = run(study_of(a=[1, 2, 3, 4]), tmp_path)
    assert outcome.done == ["a-1", "a-2", "a-3", "a-4"] and not outcome.apart
    for a, size in ((1, 3), (2, 3), (3, 3)):
        assert content(tmp_path / f"a-{a}", "together.txt") == str(size)
        assert json.loads(content(tmp_path / f"a-{a}", "result.json")) == {"total": a + 10}
    assert (tmp_path / "a-4" / "alone.txt").exists()
    assert run(study_of(a=[1, 2, 3, 4]), tmp_path).done == []


def test_of_a_group_that_fails_only_those_fail_that_fail_alone(tmp_path):
    outcome = run(study_of(a=[1, 13, 2]), tmp_path)
    assert outcome.done == ["a-1", "a-2"] and outcome.failed == {"a-13": "ValueError: thirteen is not liked here"}
    assert set(outcome.apart) == {"a-1", "a-13", "a-2"} and "not with thirteen" in outcome.apart["a-1"]
    assert not (tmp_path / "a-1" / "together.txt").exists()
    assert "in add" in content(tmp_path / "a-13", "error.txt")


def test_one_by_one_where_it_is_asked_for(tmp_path):
    run(study_of(a=[1, 2]), tmp_path, stack=1)
    assert (tmp_path / "a-1" / "alone.txt").exists()


@pytest.mark.parametrize(
    "asks", [dict(claims=[{"measure": "hours"}]), dict(figures=[{"kind": "curves", "x": "hours", "y": "total"}])]
)
def test_a_study_about_time_runs_one_by_one_unless_told_otherwise(tmp_path, asks):
    study = study_of(a=[1, 2])
    vars(study).update(asks)
    run(study, tmp_path / "alone")
    run(study, tmp_path / "together", stack=2)
    assert (tmp_path / "alone" / "a-1" / "alone.txt").exists()
    assert (tmp_path / "together" / "a-1" / "together.txt").exists()


@pytest.mark.parametrize("stack", [0, -1, 1.5, True, "2"])
def test_sizes_that_are_none_are_refused(tmp_path, stack):
    with pytest.raises(ValueError, match="`stack` must be an integer of 1 or more"):
        run(study_of(a=[1]), tmp_path, stack=stack)


def test_an_interruption_of_a_group_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(settings, folders):
        add_all(settings, folders)
        raise KeyboardInterrupt

    stopping = Experiment("sum", add, {"b": 10}, ["a"], together=replace(TOGETHER, run=interrupted))
    with pytest.raises(KeyboardInterrupt):
        run_study(study_of(a=[1, 2]), tmp_path, 1, experiments={"sum": stopping}, progress=False)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("a-")]
    assert run(study_of(a=[1, 2]), tmp_path).done == ["a-1", "a-2"]


def sizes_of_jobs(monkeypatch, tmp_path, b, **options):
    """The numbers of processes and of experiments in each job, of a run that does nothing."""
    seen = []

    def note(function, calls, jobs, scheduler):
        seen.extend([jobs, [len(slugs) for slugs, _ in calls]])
        return iter(())

    monkeypatch.setattr("siren_fastai.study.runner.run_jobs", lambda *arguments: (item for item in note(*arguments)))
    run_study(study_of(a=[1, 2, 3, 4], fixed={"b": b}), tmp_path, experiments=SUM, progress=False, **options)
    return seen


@pytest.mark.parametrize(
    "b, options, expected",
    [
        (1, dict(jobs=2), [2, [2, 2]]),
        (99, dict(jobs=None), [1, [3, 1]]),
        (99, dict(jobs=2), [2, [2, 2]]),
        (1, dict(jobs=1, scheduler="tcp://a:1"), [1, [1, 1, 1, 1]]),
        (1, dict(jobs=1, scheduler="tcp://a:1", stack=2), [1, [2, 2]]),
        (99, dict(jobs=1, scheduler="tcp://a:1"), [1, [3, 1]]),
    ],
    ids=["cpu", "gpu", "gpu, 2 processes", "cluster", "cluster, asked for", "cluster of gpus"],
)
def test_a_gpu_gets_one_process_and_the_workers_of_a_cluster_one_experiment_each(
    monkeypatch, tmp_path, b, options, expected
):
    assert sizes_of_jobs(monkeypatch, tmp_path, b, **options) == expected


@pytest.mark.slow
def test_in_processes_too(tmp_path):
    outcome = run_study(study_of(a=[1, 2, 3, 4]), tmp_path, 2, experiments=SUM, progress=False)
    assert sorted(outcome.done) == ["a-1", "a-2", "a-3", "a-4"]
    assert content(tmp_path / "a-4", "together.txt") == "2"


TEXT = """
title: Rates and seeds
source: a test
protocol: {reduced: "16x16"}
experiment: fit
matrix:
  lr: [0.001, 0.002]
  seed: [0, 1]
size: 16
hidden: [8, 8]
bs: full
epochs: 2
"""


def test_a_study_of_fits_has_the_same_table_together_and_one_by_one(tmp_path):
    (tmp_path / "rates.yaml").write_text(TEXT)
    study = load_study(str(tmp_path / "rates.yaml"))
    found = {}
    for name, stack in (("together", None), ("alone", 1)):
        run_study(study, tmp_path / name, 1, progress=False, stack=stack)
        paths = sorted((tmp_path / name).glob("*/result.json"))
        found[name] = [json.loads(path.read_text()) for path in paths]
    assert [row["stacked"] for row in found["together"]] == [4] * 4
    for ours, theirs in zip(found["together"], found["alone"], strict=True):
        assert ours["psnr"] == pytest.approx(theirs["psnr"], abs=0.01) and theirs["stacked"] == 1
