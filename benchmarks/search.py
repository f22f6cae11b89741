"""The search behind the defaults of `siren_learner`: one change at a time from the chosen recipe, on several images.

OMP_NUM_THREADS=1 python benchmarks/search.py [--pictures astronaut chelsea] [--sizes 128 256] [--seeds 0 1 2]
    [--epochs 30] [--recipes chosen lr_x2]

A line per recipe, size and image: medians over the random seeds of the training seconds to 35 and 40 dB and of the
final PSNR. With one thread seconds are those of the processor. First frequencies are those at 256x256, and smaller
in proportion for smaller images, as the default's are; those of "ball", "square" and "normal" are always the same.
"""

import argparse
import itertools
import math
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

from clock import Clock, square_picture, timed_by
from fastai.torch_core import set_seed
from report import report

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import HIDDEN
from siren_fastai.init import center_output_, init_for_signal_
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import adam, muon, soap
from siren_fastai.schemes import SCHEMES, Rule

FAST, BALL = SCHEMES["fast"], SCHEMES["ball"]
U6 = FAST.hidden


def first(scale: float, exponent: float) -> dict:
    return {"scheme": replace(FAST, first=replace(FAST.first, scale=scale, exponent=exponent))}


def beta_2(value: float) -> dict:
    return {"learner": {"opt_func": partial(adam, sqr_mom=value)}}


RECIPES = {  # changes of the chosen recipe: hidden widths, scheme, loader, learner, fit
    "chosen": {},
    "ball, beta_2 0.999": {"scheme": "ball"} | beta_2(0.999),  # the default before
    "ball": {"scheme": "ball"},
    "beta_2 0.999": beta_2(0.999),
    "beta_2 0.99": beta_2(0.99),
    "beta_2 0.9": beta_2(0.9),
    **{f"first {r}, exponent {p:g}": first(r, p) for r, p in [(220, 1.5), (340, 1.5), (270, 1), (270, 2), (270, 3)]},
    "lr_half": {"learner": {"lr": 2.5e-4}},
    "lr_x2": {"learner": {"lr": 1e-3}},
    "fastai_moms": {"learner": {"moms": (0.95, 0.85, 0.95)}},
    "warm_up_5%": {"fit": {"pct_start": 0.05}},
    "warm_up_25%": {"fit": {"pct_start": 0.25}},
    "batch_512": {"loader": {"bs": 512}},
    "batch_2048": {"loader": {"bs": 2048}},
    "batch_4096_lr_x2": {"loader": {"bs": 4096}, "learner": {"lr": 1e-3}},
    "192x3": {"hidden": (192, 192, 192)},
    "192x4": {"hidden": (192,) * 4},
    "256x4": {"hidden": (256,) * 4},
    "384x2": {"hidden": (384, 384)},
    "note_taper": {"hidden": (256, 128, 64, 32), "learner": {"lr": 1e-3}},
    "ball_60": {"scheme": replace(BALL, first=Rule("ball", 60, 0, 1))},
    "ball_150": {"scheme": replace(BALL, first=Rule("ball", 150, 0, 1))},
    "square_60": {"scheme": replace(BALL, first=Rule("uniform", 60, 0, 1))},
    "normal_40": {"scheme": replace(BALL, first=Rule("normal", 40, 0, 1))},
    "hidden_x1.5": {"scheme": replace(FAST, hidden=U6 * 1.5)},
    "hidden_phase_1": {"scheme": replace(FAST, hidden_bias=Rule("uniform", 1, 0, 1))},
    "output_x1": {"scheme": replace(FAST, output=U6)},
    "scheme_33": {"scheme": 33},
    "scheme_siren": {"scheme": "siren"},
    "soap": {"learner": {"opt_func": soap, "moms": (0.9, 0.9, 0.9)}},
    "soap_lr_x4": {"learner": {"opt_func": soap, "moms": (0.9, 0.9, 0.9), "lr": 2e-3}},
    "soap_128x4": {"learner": {"opt_func": soap, "moms": (0.9, 0.9, 0.9), "lr": 1e-3}, "hidden": (128,) * 4},
    "muon": {"learner": {"opt_func": muon}},
}


def fit(image, seed: int, epochs: int, hidden=None, scheme=None, loader=None, learner=None, fit=None) -> Clock:
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image(image, **(loader or {}))
    model, data = siren_model([2, *(hidden or HIDDEN), dls.train_ds.n_channels]), dls.train_ds
    init_for_signal_(model, scheme or "fast", data.values, data.axis_samples)
    center_output_(model, data.values)
    learn = siren_learner(dls, model, metrics=[], **(learner or {}))
    clock = Clock(image, learn.render)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, cbs=clock, **(fit or {}))
    return clock


def summary(clocks: list[Clock]) -> dict:
    cells = {}
    for level in (35.0, 40.0):
        hits = [clock.reached.get(level, (math.inf, math.inf)) for clock in clocks]
        seconds, steps = (statistics.median(column) for column in zip(*hits, strict=True))
        cells |= {f"{level:g} dB s": seconds if seconds < math.inf else None}
        cells |= {f"{level:g} dB steps": int(steps) if steps < math.inf else None}
    best = [clock.best for clock in clocks]
    ms = statistics.median(1000 * clock.spent / clock.steps for clock in clocks)
    return cells | {"final dB": statistics.median(best), "spread dB": max(best) - min(best), "ms a step": ms}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", nargs="+", default=["astronaut", "chelsea"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--name", default="search", help="of the JSON file")
    options = parser.parse_args()
    rows, notes = [], dict(seeds=options.seeds, epochs=options.epochs, seconds=timed_by())
    for size, path in itertools.product(options.sizes, options.pictures):
        image = square_picture(path, size)
        for recipe in options.recipes:
            clocks = [fit(image, seed, options.epochs, **RECIPES[recipe]) for seed in options.seeds]
            rows.append({"size": size, "picture": Path(path).stem, "recipe": recipe, **summary(clocks)})
            report(options.name, rows, notes, show=False)
            print(rows[-1], flush=True)
    report(options.name, rows, notes)


if __name__ == "__main__":
    main()
