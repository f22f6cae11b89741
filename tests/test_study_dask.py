"""A study on a cluster: a scheduler and worker processes on this machine, of which one is killed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from study_runs import add_slowly, add_unless_killed, environment, half, half_or_error, study_of

from siren_fastai.jobs.run import run_jobs
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.results import read_results
from siren_fastai.study.runner import run_study

Client = pytest.importorskip("distributed", reason="needs the package dask: pip install 'siren_fastai[test]'").Client
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")]

SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler, and workers as asked; end them all after the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    variables = {**os.environ, **SETTINGS, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    started = []

    def start(*command):
        log = (tmp_path / f"dask-{len(started)}.log").open("w")
        command = [sys.executable, "-m", "dask", *command]
        started.append(subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=log, stderr=log))
        log.close()
        return started[-1]

    def workers(count, *options):
        options = options or ("--nthreads", "1")
        found = [start("worker", address, *options, "--no-nanny", "--no-dashboard") for _ in range(count)]
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)  # on a busy machine one comes long before the other
        return found

    start("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")
    yield address, workers
    for process in started:
        process.kill()
        process.wait()


SLOW = {"slow": Experiment("slow", add_slowly, required=["a", "b", "log", "seconds"])}


def slow_study(log, count):
    log.mkdir()
    return study_of("slow", a=list(range(count)), fixed={"b": 0, "log": str(log), "seconds": 0.5})


class Watch:
    """A run's progress, which kills a process once two experiments are finished."""

    def __init__(self, log, process):
        self.log, self.process, self.seen = log, process, None

    def show(self, share, text):
        if self.seen is None and share >= 0.2:
            self.seen = {int(path.name.split("-")[1]) for path in self.log.iterdir()}
            self.process.send_signal(signal.SIGKILL)

    def clear(self):
        pass


def test_a_worker_is_killed_in_the_middle_and_no_experiment_is_lost_or_counted_twice(tmp_path, cluster):
    address, workers = cluster
    first, second = workers(2)
    study, out = slow_study(tmp_path / "log", 10), tmp_path / "out"
    watch = Watch(tmp_path / "log", second)
    outcome = run_study(study, out, scheduler=address, experiments=SLOW, progress=watch)
    assert watch.seen == {first.pid, second.pid}
    assert sorted(outcome.done) == sorted(each.slug for each in study.combinations) and not outcome.failed
    table = read_results(out)
    assert list(table["total"]) == list(range(10)) and first.pid in set(table["process"]) <= {first.pid, second.pid}
    assert set(table["threads"]) == {1} and len(list(out.glob("*/more/history.csv"))) == 10
    assert len(list((tmp_path / "log").iterdir())) > 10  # what was killed was begun a second time
    assert not list((out / ".running").glob("*/*/*"))


def test_an_experiment_that_kills_its_workers_fails_and_the_others_go_on(tmp_path, cluster):
    address, workers = cluster
    workers(3)  # two are killed
    study = study_of("sum", a=[1, 2, 3, 4], fixed={"b": 0})
    outcome = run_study(
        study, tmp_path / "out", scheduler=address, experiments={"sum": add_unless_killed}, progress=False
    )
    assert sorted(outcome.done) == ["a-1", "a-3", "a-4"] and "was killed" in outcome.failed["a-2"]


def test_one_worker_does_all_calls_and_exceptions_are_failures(cluster):
    address, workers = cluster
    (only,) = workers(1)
    outcomes = dict(run_jobs(environment, [(1, (1,)), (2, (2,))], scheduler=address))
    assert {process for process, *_ in outcomes.values()} == {only.pid}
    assert dict(run_jobs(half_or_error, [(3, (3,))], scheduler=address))[3].message == "ValueError: no three"


def test_workers_with_several_threads_are_refused(cluster):
    address, workers = cluster
    workers(1, "--nthreads", "2")
    with pytest.raises(ValueError, match="has 2 threads.*start workers with `--nthreads 1`"):
        list(run_jobs(half, [(1, (1,))], scheduler=address))


def test_a_scheduler_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr("siren_fastai.jobs.cluster.PATIENCE_S", 0.5)
    with pytest.raises(OSError, match="no Dask scheduler answers at tcp://127.0.0.1:1:"):
        list(run_jobs(half, [(1, (1,))], scheduler="tcp://127.0.0.1:1"))


@pytest.mark.parametrize("address", ["nonsense", "other://host:1"])
def test_an_address_that_is_none_is_refused_before_a_client_is_made(monkeypatch, address):
    cluster = pytest.importorskip("siren_fastai.jobs.cluster")
    monkeypatch.setattr(cluster, "Client", lambda *_, **__: pytest.fail("a client was made"))
    with pytest.raises(ValueError, match=f"`scheduler` must be an address such as tcp://host:8786, got '{address}'"):
        list(run_jobs(half, [(1, (1,))], scheduler=address))


def test_without_dask_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "siren_fastai.jobs.cluster", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'siren_fastai\[dask\]'"):
        list(run_jobs(half, [(1, (1,))], scheduler="tcp://127.0.0.1:1"))
