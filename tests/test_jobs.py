"""Calls in processes: every outcome comes once, whatever raises, is killed, or is interrupted."""

import os
import time

import pytest
import torch
from study_runs import end_if_two, environment, half, half_or_error

from siren_fastai.jobs.call import Failure
from siren_fastai.jobs.run import check_jobs, run_jobs

processes = pytest.mark.slow


def calls(*values):
    return [(f"key {value}", (value,)) for value in values]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=processes)])
def test_outcomes_come_with_their_keys_and_exceptions_as_failures(jobs):
    outcomes = dict(run_jobs(half_or_error, calls(1, 2, 3, 4), jobs))
    failure = outcomes.pop("key 3")
    assert outcomes == {"key 1": 0.5, "key 2": 1, "key 4": 2}
    assert isinstance(failure, Failure) and failure.message == "ValueError: no three"
    assert "in half_or_error" in failure.traceback


def test_one_job_is_this_process_and_takes_calls_one_by_one():
    taken = []

    def lazily():
        for key, arguments in calls(1, 2):
            taken.append(key)
            yield key, arguments

    outcomes = run_jobs(environment, lazily(), jobs=1)
    before = torch.get_num_threads()
    assert not taken and next(outcomes)[1][:2] == (os.getpid(), 1) and taken == ["key 1"]
    assert torch.get_num_threads() == before


@processes
def test_several_jobs_are_processes_of_their_own_with_one_thread_each():
    seen = [outcome for _, outcome in run_jobs(environment, calls(*range(4)), jobs=2)]
    assert len({process for process, *_ in seen} | {os.getpid()}) == 3
    assert {(threads, variable) for _, threads, variable in seen} == {(1, "1")}


@processes
def test_a_function_of_a_notebook_can_be_called_in_processes():
    factor = 3
    assert dict(run_jobs(lambda value: factor * value, calls(1, 2), jobs=2)) == {"key 1": 3, "key 2": 6}


@processes
def test_only_the_call_that_kills_its_process_is_lost():
    outcomes = list(run_jobs(end_if_two, calls(*range(6)), jobs=2))
    assert sorted(key for key, _ in outcomes) == sorted(f"key {value}" for value in range(6))
    outcomes = dict(outcomes)
    assert "was killed" in outcomes.pop("key 2").message
    assert outcomes == {f"key {value}": value for value in (0, 1, 3, 4, 5)}


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=processes)])
def test_an_error_of_the_calls_themselves_passes(jobs):
    def broken():
        yield from calls(1, 2, 3)
        raise OSError("the disk is full")

    seen = []
    with pytest.raises(OSError, match="the disk is full"):
        for key, _ in run_jobs(half, broken(), jobs):
            seen.append(key)
    assert len(seen) == 3


@processes
def test_closing_ends_the_processes_at_once():
    outcomes = run_jobs(time.sleep, [(seconds, (seconds,)) for seconds in (0, 600, 600)], jobs=2)
    assert next(outcomes) == (0, None)
    outcomes.close()
    assert dict(run_jobs(half, calls(2), jobs=2)) == {"key 2": 1}


@pytest.mark.parametrize("jobs", [0, -1, True])
def test_jobs_are_at_least_one(jobs):
    with pytest.raises(ValueError, match="`jobs` must be an integer of 1 or more"):
        check_jobs(jobs)


def test_by_default_there_is_a_job_for_each_core():
    assert 1 <= check_jobs(None) <= os.cpu_count() and check_jobs(3) == 3
