"""Fits per minute of a study: one after the other, in processes with one thread each, and stacked in one Learner.

python benchmarks/studies.py [--jobs 2] [--rounds 5] [--fits 12] [--size 64] [--width 64] [--bs 1024] [--steps 300]

Each way runs the same study, `--fits` seeds of the experiment "fit", with results written as always. They are run in
turn, so that a noisy machine slows both; fits per minute are medians, and so is the ratio of each round, with its
quartiles. The processes are started before the clock: a study of many fits hardly notices. Run it on idle cores; the
ratio of processor time, of the ways in one process, needs none. `--device cuda` times the same on a GPU.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
from report import report

from siren_fastai.study.experiments.fit import EXPERIMENT
from siren_fastai.study.matrix import read_matrix
from siren_fastai.study.runner import run_study
from siren_fastai.study.study import Study

MATRIX = """
matrix: {{seed: {seeds}}}
image: astronaut
size: {size}
hidden: [{width}, {width}, {width}]
bs: {bs}
steps: {steps}
device: {device}
evaluations: 2
"""


def study_of(args: argparse.Namespace, fits: int, steps: int) -> Study:
    """The study that every way runs."""
    text = MATRIX.format(**{**vars(args), "seeds": list(range(fits)), "steps": steps})
    combinations = read_matrix(text, experiment=EXPERIMENT)
    return Study("benchmark", "benchmark", "", {}, False, [], [], combinations, EXPERIMENT.name)


def seconds_of(study: Study, jobs: int, stack: int = 1) -> tuple[float, float | None]:
    """The seconds of one run into a new folder, by the clock and, in this process, of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        outcome = run_study(study, folder, jobs, progress=False, stack=stack)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    if len(outcome.done) != len(study.combinations) or outcome.apart:
        raise RuntimeError(f"experiments failed: {outcome.failed or outcome.apart}")
    return seconds, processor if jobs == 1 else None


def rows_of(ways: dict[str, Callable[[], tuple]], fits: int, rounds: int) -> list[dict]:
    """Fits per minute of each way, and how many times those of the first; the ways take turns."""
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            found[name].append(run())
    first = next(iter(found.values()))
    rows = []
    for name, runs in found.items():
        ratios = [one / other for (one, _), (other, _) in zip(first, runs, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        row = {"way": name, "fits per minute": 60 * fits / statistics.median(seconds for seconds, _ in runs)}
        row |= {"times the first": statistics.median(ratios), "quartiles": f"{low:.2f} to {high:.2f}"}
        processor = [one / other for (_, one), (_, other) in zip(first, runs, strict=True) if other is not None]
        rows.append({**row, "in processor time": statistics.median(processor) if processor else None})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"jobs": 2, "rounds": 5, "fits": 12, "size": 64, "width": 64, "bs": 1024, "steps": 300}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="studies", help="of the table in benchmarks/results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = study_of(args, args.fits, args.steps)
    ways = {
        "one after the other": partial(seconds_of, study, 1),
        f"{args.jobs} processes": partial(seconds_of, study, args.jobs),
        "stacked, one job": partial(seconds_of, study, 1, args.fits),
        f"stacked, {args.jobs} processes": partial(seconds_of, study, args.jobs, args.fits),
    }
    for jobs in (1, args.jobs):  # imports, and the processes themselves
        seconds_of(study_of(args, args.jobs, 1), jobs)
    report(args.name, rows_of(ways, args.fits, args.rounds), vars(args))


if __name__ == "__main__":
    main()
