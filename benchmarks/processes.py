"""Seconds of a fit in one process and in several that share every batch, on one machine's cores or GPUs.

python benchmarks/processes.py [--processes 2] [--rounds 5] [--epochs 4] [--size 256] [--bs 8192]

Both fit data/astronaut.png with the default network and the same `--bs` samples per batch in all, one thread per
process. They are run in turn, so that a noisy machine slows both; seconds are medians, ratios too, with their
quartiles. Where other programs use the cores, the processor time of a process says more than the clock. Start-up is not
counted. The final PSNRs differ by rounding alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from fastai.torch_core import num_distrib, rank_distrib, set_seed
from report import report

from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner


def fit(size: int, bs: int, epochs: int) -> dict:
    """One fit in as many processes as torchrun started, after an epoch that warms up."""
    set_seed(0, reproducible=True)
    bs //= max(num_distrib(), 1)
    dls = PixelDataLoaders.from_image("data/astronaut.png", size=size, bs=bs, valid_bs=bs)
    learn = siren_learner(dls)
    with learn.distrib_ctx() if num_distrib() else nullcontext(), learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
        start, work = time.perf_counter(), time.process_time()
        learn.fit(epochs, 1e-3)
        seconds, work = time.perf_counter() - start, time.process_time() - work
        return {"seconds": seconds, "work": work, "psnr": learn.recorder.values[-1][-1]}


def launched(processes: int, options: list[str]) -> dict:
    """The fit in a run of its own, by torchrun if there are several processes."""
    launch = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    )
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, *launch, __file__, *options, "--result", result]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
        return json.loads(result.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("processes", 2), ("rounds", 5), ("epochs", 4), ("size", 256), ("bs", 8192)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # set in the runs that this script starts
    args = parser.parse_args()
    if args.result:
        import fastai.distributed  # noqa: F401  gives Learner.distrib_ctx

        found = fit(args.size, args.bs, args.epochs)
        if not rank_distrib():
            args.result.write_text(json.dumps(found))
        return
    options = [f"--{name}={getattr(args, name)}" for name in ("epochs", "size", "bs")]
    pairs = [(launched(1, options), launched(args.processes, options)) for _ in range(args.rounds)]
    rows = [row(1, [one for one, _ in pairs]), row(args.processes, [several for _, several in pairs])]
    for name, kind in (("times as fast", "seconds"), ("times less work for each", "work")):
        low, middle, high = statistics.quantiles([one[kind] / several[kind] for one, several in pairs], n=4)
        rows[1] |= {name: f"{middle:.2f} ({low:.2f}-{high:.2f})"}
    report("processes", rows, dict(seed=0, size=args.size, batch=args.bs, epochs=args.epochs, rounds=args.rounds))


def row(processes: int, fits: list[dict]) -> dict:
    seconds = statistics.median(fit["seconds"] for fit in fits)
    work = statistics.median(fit["work"] for fit in fits)
    return {"processes": processes, "s": seconds, "processor s of each": work, "PSNR dB": fits[0]["psnr"]}


if __name__ == "__main__":
    main()
