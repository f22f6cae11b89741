"""The 2020 note's run, our default and every family of networks, compared on the camera image at 256².

python benchmarks/families.py [--epochs 300] [--seconds S] [--seeds 0 1 2] [--rates ...] [--kinds ...] [--size 256]

official    `siren-fastai fit --preset official` for `--epochs` epochs: its training seconds are the time
            that all others get (or `--seconds`), and its last PSNR is the level to pass
default     `siren-fastai fit`, all defaults but the number of epochs: as many as fit into that time, and the numbers in
            `--ours`; "passes at" is the end of the first epoch at or above the official run's last PSNR
families    `field_model(kind)` as published, with as many parameters as the official network has, one_cycle over that
            time in batches of the default size; every rate of `--rates` with the first seed, then all seeds at the
            best; `wire:10` is wire with sigma_0 10, its published one being 30

Seconds are those of training; evaluations are excluded. PSNR is that of all pixels, clamped to [0, 1].
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback, CancelValidException
from fastai.torch_core import set_seed
from report import report
from skimage.data import camera

from siren_fastai.cli.main import main as siren_fastai
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.presets import fast_defaults
from siren_fastai.images import load_image, resize_image
from siren_fastai.learner import siren_learner
from siren_fastai.models.field import count_parameters, field_model
from siren_fastai.names import MODEL_KINDS
from siren_fastai.quality import psnr

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
KINDS = tuple(kind for kind in MODEL_KINDS if kind != "sine")


def through_cli(size: int, epochs: int, seed: int, *options: str) -> dict:
    """A fit by the command line: final PSNR, training seconds, and the course of both."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "--experiment_name",
            "run",
            "--logging_root",
            folder,
            "--sidelength",
            str(size),
            "--seed",
            str(seed),
        ]
        arguments += ["--num_epochs", str(epochs), "--steps_til_summary", "1000000", "--epochs_til_ckpt", "1000000"]
        with contextlib.redirect_stdout(io.StringIO()):
            code = siren_fastai(["fit", *arguments, *options])
        if code:
            raise SystemExit(code)
        levels = np.loadtxt(Path(folder, "run", "history.txt"), ndmin=2)[:, 2]
        seconds = np.loadtxt(Path(folder, "run", "summaries", "steps.txt"), ndmin=2)[:, 3]
        final = load_checkpoint(Path(folder, "run", "checkpoints", "model_final.safetensors"))
        last = psnr(final.render(), picture(size))
        return dict(
            psnr=last,
            levels=[*levels, last],
            times=list(seconds),
            parameters=count_parameters(final.model),
            epochs=epochs,
        )


def picture(size: int) -> torch.Tensor:
    return resize_image(load_image(camera()), (size, size))


class Course(Callback):
    """PSNR after each epoch over the seconds of training; fastai's own validation is left out."""

    def __init__(self, target):
        self.target, self.spent, self.levels, self.times = target, 0.0, [], []

    def before_train(self):
        self.started = time.perf_counter()

    def after_train(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.spent += time.perf_counter() - self.started

    def before_validate(self):
        raise CancelValidException

    def after_epoch(self):
        self.levels.append(psnr(self.learn.render(), self.target))
        self.times.append(self.spent)


def train(kind: str, size: int, parameters: int, lr: float, epochs: int, seed: int) -> dict:
    """A family's fit: final PSNR, training seconds, and the course of both."""
    set_seed(seed, reproducible=True)
    target, (name, _, sigma_0) = picture(size), kind.partition(":")
    options = {"sigma_0": float(sigma_0)} if sigma_0 else {}
    model = field_model(name, n_out=1, n_parameters=parameters, sidelength=size, **options)
    learn = siren_learner(PixelDataLoaders.from_image(target), model, metrics=[], lr=lr)
    course = Course(target)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, cbs=course)
    found = dict(levels=course.levels, times=course.times, parameters=count_parameters(model), epochs=epochs)
    last = course.levels[-1]
    return found | dict(psnr=last if last == last else float("-inf"), lr=lr)


def epochs_in(seconds: float, fit) -> int:
    """How many epochs of `fit(epochs)` the time has room for; one epoch first, to warm up."""
    fit(1)
    return max(1, round(seconds / (fit(3)["times"][-1] / 3)))


def passes(run: dict, level: float) -> float | None:
    """Training seconds at the first evaluation at or above `level` dB; None if there is none."""
    return next((s for value, s in zip(run["levels"], run["times"], strict=True) if value >= level), None)


def row(name: str, runs: list[dict], official: dict) -> dict:
    """The seeds of one method as a line of the table."""
    times = [passes(run, official["psnr"]) for run in runs]
    at = statistics.median(times) if None not in times else None
    found = [run["psnr"] for run in runs]
    return {
        "method": name,
        "parameters": runs[0]["parameters"],
        "lr": runs[0].get("lr"),
        "epochs": runs[0]["epochs"],
        "PSNR dB, median": statistics.median(found),
        "range": f"{min(found):.2f}–{max(found):.2f}",
        "seconds": statistics.median(run["times"][-1] for run in runs),
        "passes at s": at,
        "times sooner": official["times"][-1] / at if at else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=300, help="of the official run")
    parser.add_argument("--seconds", type=float, help="for each other run; left out: what the official one took")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--official-seeds", type=int, nargs="+", help="of the long run; left out: those of all others")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--ours", type=int, nargs="*", default=[5, fast_defaults()["epochs"]], help="epochs")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--name", default="families", help="of the JSON files")
    options = parser.parse_args()
    size, seeds = options.size, options.seeds
    officials = [
        through_cli(size, options.epochs, seed, "--preset", "official") for seed in options.official_seeds or seeds
    ]
    official = sorted(officials, key=lambda run: run["psnr"])[len(officials) // 2]
    seconds = options.seconds or official["times"][-1]
    rows = [row("official", officials, official) | {"lr": 1e-4, "passes at s": None, "times sooner": None}]
    default_epochs = epochs_in(seconds, lambda epochs: through_cli(size, epochs, seeds[0]))
    for epochs in dict.fromkeys([*options.ours, default_epochs]):
        runs = [through_cli(size, epochs, seed) for seed in seeds]
        rows.append(row(f"default, {epochs} epochs", runs, official) | {"lr": fast_defaults()["lr"]})
    grid = []
    for kind in options.kinds:
        epochs = epochs_in(seconds, lambda n, kind=kind: train(kind, size, official["parameters"], 1e-4, n, seeds[0]))
        tried = [train(kind, size, official["parameters"], lr, epochs, seeds[0]) for lr in options.rates]
        grid.append({"kind": kind} | {f"lr {run['lr']:g}": run["psnr"] for run in tried})
        print(grid[-1], flush=True)
        best = max(tried, key=lambda run: run["psnr"])
        runs = [best] + [train(kind, size, official["parameters"], best["lr"], epochs, seed) for seed in seeds[1:]]
        rows.append(row(kind, runs, official))
        edge = best["lr"] in (min(options.rates), max(options.rates))
        rows[-1]["best rate at the grid's edge"] = "yes" if edge else "no"
    notes = dict(
        size=size,
        seeds=seeds,
        wall_seconds=round(seconds, 1),
        device=str(PixelDataLoaders.from_image(picture(8)).device),
    )
    if grid:
        report(f"{options.name}_rates", grid, notes | dict(shows="final PSNR dB of the first seed"))
    report(options.name, rows, notes | dict(official_epochs=options.epochs))


if __name__ == "__main__":
    main()
