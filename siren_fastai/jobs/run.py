"""Many calls of one function in several processes, by joblib: each outcome comes when it is ready."""

import os
import warnings
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from operator import index
from typing import Any

import joblib

from siren_fastai.jobs.call import Call, Failure, attempt, lost

__all__ = ["check_jobs", "run_jobs"]


def run_jobs(
    function: Callable,  # importable, or from a notebook
    calls: Iterable[Call],  # taken one by one, as processes become free
    jobs: int | None = None,  # processes; None is one for each core. 1 is this process
    scheduler: str | None = None,  # of a Dask cluster that does the calls instead, such as "tcp://host:8786"
    threads: int | None = 1,  # of torch in each process; None leaves them to torch
) -> Iterator[tuple[Hashable, Any | Failure]]:
    """Yield (key, `function(*arguments)`) for each call, in the order in which they end; for an exception a `Failure`.

    If a process is killed, for its memory say, the calls that it may have had are repeated one by one, and only those
    that are killed again fail. Closing the generator, or an interruption of it, ends the processes at once; a call that
    a cluster has begun is ended there, and its result ignored.
    Raises: ValueError for fewer than one job, or a cluster's worker with several threads; ImportError for a cluster
    without Dask; OSError if no scheduler answers. Errors of `calls` pass, after what was begun.
    """
    jobs = check_jobs(jobs)
    if jobs == 1 and scheduler is None:
        for key, arguments in calls:
            yield attempt(function, key, arguments, threads)
        return
    task = partial(attempt, function, threads=threads, parent=os.getpid() if scheduler is None else None)
    taken = _Taken(calls)
    with _backend(jobs, scheduler, threads) as config:
        while not taken.ended:
            with closing(_outcomes(task, taken, config)) as outcomes:
                for key, outcome in outcomes:
                    del taken.open[key]
                    yield key, outcome
            for key, arguments in list(taken.open.items()):  # a process was killed
                del taken.open[key]
                found = list(_outcomes(task, [(key, arguments)], config))
                yield found[0] if found else lost(key)
    if taken.error is not None:
        raise taken.error


def check_jobs(
    jobs: int | None,
) -> int:
    """Return the number of processes: `jobs`, or for None one for each core. Raises: ValueError below 1."""
    if jobs is None:
        return joblib.cpu_count()
    if isinstance(jobs, bool) or index(jobs) < 1:
        raise ValueError(f"`jobs` must be an integer of 1 or more, got {jobs!r}")
    return index(jobs)


class _Taken:
    """The calls, noted while they are open. joblib takes them in threads of its own, where an exception would vanish.

    open: key -> arguments of the calls that were taken and have no outcome. ended: whether there are no more; error:
    what ended them.
    """

    def __init__(self, calls: Iterable[Call]):
        self.calls, self.open, self.ended, self.error = iter(calls), {}, False, None

    def __iter__(self):
        return self

    def __next__(self) -> Call:
        try:
            if self.ended:
                raise StopIteration
            key, arguments = next(self.calls)
        except Exception as error:
            self.ended, self.error = True, None if isinstance(error, StopIteration) else error
            raise StopIteration from None
        self.open[key] = arguments
        return key, arguments


def _backend(jobs: int, scheduler: str | None, threads: int | None) -> AbstractContextManager[dict]:
    """The configuration of joblib that does the calls, and whatever it needs while it is used."""
    if scheduler is None:
        return nullcontext({"backend": "loky", "n_jobs": jobs, "inner_max_num_threads": threads})
    from siren_fastai.jobs.cluster import cluster_backend  # needs Dask, an extra

    return cluster_backend(scheduler)


def _outcomes(task: Callable, calls: Iterable[Call], config: dict) -> Iterator[tuple[Hashable, Any | Failure]]:
    """The outcomes of `calls`, of fewer if a process is killed."""
    with joblib.parallel_config(**config):  # only while it is read: it must not reach what is done between outcomes
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    try:
        with _closed(parallel(joblib.delayed(task)(key, arguments) for key, arguments in calls)) as outcomes:
            while (outcome := next(outcomes, None)) is not None:  # `yield from` would close them before the block's end
                yield outcome
    except BrokenProcessPool:
        return


@contextmanager
def _closed(outcomes: Generator) -> Iterator[Generator]:
    """Close `outcomes` after the block: joblib then ends what is running, of which it warns."""
    try:
        yield outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()
