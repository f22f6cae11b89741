"""Calls on a Dask cluster, through joblib's own backend: `pip install siren_fastai[dask]`."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

try:
    from distributed import Client
    from distributed.comm import get_address_host_port
    from joblib._dask import DaskDistributedBackend
except ImportError:
    raise ImportError("`scheduler` needs the package dask: pip install 'siren_fastai[dask]'") from None

from siren_fastai.jobs.call import lost

__all__ = ["cluster_backend"]

PATIENCE_S = 30  # for the scheduler's answer, and for the first worker


@contextmanager
def cluster_backend(
    scheduler: str,  # such as "tcp://host:8786"
) -> Iterator[dict]:
    """Yield joblib's configuration for the cluster of this scheduler.

    Raises: OSError if no scheduler answers, or it has no worker; ValueError for a worker with several threads.
    """
    try:
        get_address_host_port(scheduler)  # a client that fails here would wait for a minute at the program's end
    except ValueError as error:
        raise ValueError(
            f"`scheduler` must be an address such as tcp://host:8786, got {scheduler!r:.80}: {error}"
        ) from None
    try:
        client = Client(scheduler, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise OSError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            raise OSError(f"the Dask scheduler at {scheduler} has no worker; start `dask worker {scheduler}`") from None
        _check_threads(client)
        yield {"backend": _Backend(client=client), "n_jobs": -1}


def _check_threads(client: Client) -> None:
    several = {address: count for address, count in client.nthreads().items() if count > 1}
    if several:
        address, count = next(iter(several.items()))
        raise ValueError(
            f"the worker {address} has {count} threads, which would share its random generators; start workers with "
            "`--nthreads 1`, and `--nworkers` for several on one machine"
        )


class _Backend(DaskDistributedBackend):
    """joblib's backend, which waits for ever for a call that Dask gave up, and with one worker does all calls here."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        return 2 * super().effective_n_jobs(n_jobs)  # the next call is there when one ends

    def submit(self, func, callback: Callable | None = None) -> Future:
        """Give a call to the cluster, and report its loss where Dask gives it up after several killed workers."""
        ((_, (key, _), _),) = func.items
        future = super().submit(func, callback)
        future.add_done_callback(lambda done: callback([lost(key)]) if done.exception() is not None else None)
        return future
