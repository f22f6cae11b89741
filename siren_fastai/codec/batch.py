"""Compressing many images: in processes or on a cluster, each file as it is ready."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch

from siren_fastai.codec.compress import Compressed, compress
from siren_fastai.jobs.call import Failure
from siren_fastai.jobs.run import check_jobs, run_jobs

__all__ = ["compress_images"]


def compress_images(
    images: Iterable[tuple[str, np.ndarray]],  # name, and levels (h, w, c) uint8; taken one by one
    jobs: int | None = None,  # processes, each with one thread; None is one for each core, 1 is this process
    scheduler: str | None = None,  # of a Dask cluster that compresses instead
    **options,  # of `compress`: a target, and whatever else can be sent to another process
) -> Iterator[tuple[str, Compressed | Failure]]:
    """Yield (name, the compressed image) in the order in which they are ready; a `Failure` for one that raised.

    Ctrl-C ends what is running.
    Raises: as `run_jobs`.
    """
    calls = ((name, (levels, options)) for name, levels in images)
    alone = check_jobs(jobs) == 1 and scheduler is None
    return run_jobs(_compressed, calls, jobs, scheduler, threads=None if alone else 1)


def _compressed(levels: np.ndarray, options: Mapping) -> Compressed:
    made = compress(torch.from_numpy(levels), progress=False, **options)
    if made.report["interrupted"]:
        raise KeyboardInterrupt  # what there is was not trained to its end
    return made
