"""The parts of `gpu.py`, each run as `python benchmarks/gpu_parts.py PART`, which prints a line for each row."""

import argparse
import json
import time
from pathlib import Path

import pytest
import skimage.data
import torch
from clock import Clock, square_picture
from fastai.torch_core import default_device, set_seed
from gpu import MARK
from gpu_loops import loops
from time_to_psnr import official, ours

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.codec.compress import compress
from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.images import load_image, resize_image
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.render import render
from siren_fastai.sirn.decode import models_of, read_file
from siren_fastai.stacks.learner import stack_learner

SEEDS = (0, 1, 2)
TESTS = Path(__file__).parents[1] / "tests" / "test_devices.py"


class Cases:
    """Prints cases as lines for `gpu.py`: their measures, and the most memory that tensors took since the last one."""

    def __init__(self, options: argparse.Namespace):
        self.quick, self.device, self.folder = options.quick, options.device, options.folder
        self.on_gpu = options.device == "cuda"

    def now(self) -> float:
        """Seconds on the wall, after the GPU has finished."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def add(self, case: str, **measures: tuple[float | list[float], str]) -> None:
        """Print a case: measures by name, each with its value, or one for each random seed, and its unit."""
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.on_gpu else None
        named = {name.replace("_", " "): value for name, value in measures.items()}
        print(MARK + json.dumps(dict(case=case, measures=named, peak=peak), default=float), flush=True)
        self.forget()

    def forget(self) -> None:
        """Count memory anew."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()


class Outcomes:
    """What pytest reports of each test: a plugin of its."""

    def __init__(self):
        self.passed, self.skipped, self.failed = [], [], []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            getattr(self, report.outcome).append(report)


def suite(cases: Cases) -> None:
    """The tests of one device, by pytest."""
    found, chosen = Outcomes(), ["-m", "cuda"] if cases.on_gpu else ["-k", "cpu and render"]
    code = pytest.main(["-q", "-p", "no:cacheprovider", "-W", "default", *chosen, str(TESTS)], plugins=[found])
    outcomes = {name: (len(reports), "tests") for name, reports in vars(found).items()}
    cases.add(f"tests/test_devices.py, pytest's code {int(code)}", **outcomes)
    for report in found.failed:
        reason = str(report.longrepr).strip().splitlines()[-1]
        cases.add(f"{report.nodeid.partition('::')[2]}: {reason[:160]}", failed=(1, "test"))


def levels(cases: Cases) -> None:
    """Seconds to 35 and 40 dB: our default, and the official recipe."""
    for size, epochs in ((16, (2,)),) if cases.quick else ((256, (7, 20)), (512, (40,))):
        image = square_picture("astronaut", size)
        ours(image, 0, 1)  # the first fit loads kernels
        cases.forget()
        for count in epochs:
            add_levels(cases, f"{size}x{size}, fit_fast({count})", [ours(image, seed, count) for seed in SEEDS])
        target, cap = image.to(cases.device), 1.0 if cases.quick else 20.0
        add_levels(cases, f"{size}x{size}, official recipe, one seed", [official(target, 0, cap, every_s=0.25)])


def add_levels(cases: Cases, name: str, clocks: list[Clock]) -> None:
    measures = {
        f"to_{level:g}_dB": ([clock.reached[level][0] for clock in clocks], "s")
        for level in (35.0, 40.0)
        if all(level in clock.reached for clock in clocks)
    }
    measures |= {"best": ([clock.best for clock in clocks], "dB"), "training": ([clock.spent for clock in clocks], "s")}
    cases.add(name, **measures)


RECIPES = ((1024, 5e-4, 10), (4096, 1e-3, 40), (8192, 1e-3, 60), (16384, 2e-3, 100))  # batch, rate, epochs: about 2 s


def goal(cases: Cases) -> None:
    """Seconds and PSNR of fits of 512x512 pixels with three hidden layers of 256: small batches and large ones."""
    size, width = (16, 8) if cases.quick else (512, 256)
    images = {name: resize_image(load_image(getattr(skimage.data, name)()), size) for name in ("camera", "astronaut")}
    fit_once(cases, images["camera"], width, 1024, 1, 5e-4, 0)  # the first fit loads kernels
    cases.forget()
    for name, image in images.items():
        for bs, rate, epochs in RECIPES[:1] if cases.quick else RECIPES:
            found = [fit_once(cases, image, width, bs, epochs, rate, seed) for seed in SEEDS]
            case = f"{name} {size}x{size}, bs {bs}, lr {rate:g}, fit_fast({epochs})"
            cases.add(case, training=([s for s, _ in found], "s"), psnr=([quality for _, quality in found], "dB"))
    bs, rate, epochs = RECIPES[-1]
    torch.set_float32_matmul_precision("high")
    found = fit_once(cases, images["astronaut"], width, bs, 1 if cases.quick else epochs, rate, 0)
    cases.add("the last of these with products in TF32, one seed", training=(found[0], "s"), psnr=(found[1], "dB"))
    torch.set_float32_matmul_precision("highest")


def fit_once(cases: Cases, image, width: int, bs: int, epochs: int, lr: float, seed: int) -> tuple[float, float]:
    """Fit an image; return the seconds of training alone and the PSNR."""
    set_seed(seed, reproducible=True)
    dls, history = PixelDataLoaders.from_image(image, bs=bs, valid_bs=1 << 18), MetricHistory(clock=cases.now)
    learn = siren_learner(dls, fast_model(dls, [width] * 3), lr=lr, cbs=history)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    return history.rows[-1]["train_seconds"], psnr(learn.render(), image)


def many(cases: Cases) -> None:
    """24 images in one stack, and three of them alone."""
    name, images = images_of(cases)
    bs, epochs, width = (64, 1, 8) if cases.quick else (8192, 20, 256)
    fit_once(cases, images[0], width, bs, 1, 1e-3, 0)  # the first fit loads kernels
    cases.forget()
    set_seed(0, reproducible=True)
    dls = PixelDataLoaders.from_images(images, mode="rgb", bs=bs)
    learn = stack_learner(dls, [2, width, width, width, 3], lr=1e-3, cbs=MetricHistory(clock=cases.now))
    start = cases.now()
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    seconds, last = cases.now() - start, learn.stack_history.to_frame().groupby("network").last()
    trained = learn.metric_history.rows[-1]["train_seconds"]
    quality = {"training": (trained, "s"), "with_evaluations": (seconds, "s"), "psnr": (last.psnr.tolist(), "dB")}
    cases.add(f"{len(images)} {name}, bs {bs}, fit_fast({epochs}), one stack", **quality)
    found = [fit_once(cases, image, width, bs, epochs, 1e-3, 0) for image in images[:3]]
    measures = dict(training_of_each=([s for s, _ in found], "s"), psnr=([quality for _, quality in found], "dB"))
    cases.add("the first three of them, one after the other", **measures)


def images_of(cases: Cases) -> tuple[str, list]:
    """24 images: those of the folder, with mirror images if they are fewer; or tiles of two photos."""
    if cases.folder:
        fits = PixelDataLoaders.from_images(cases.folder, mode="rgb", device="cpu").fits[:24]
        found = [dls.train_ds.to_picture(dls.train_ds.values) for dls in fits]
        mirrored = [image.flip(1) for image in found][: 24 - len(found)]
        return f"images ({len(found)} of the folder, {len(mirrored)} mirrored)", found + mirrored
    side, tiles = (8, []) if cases.quick else (128, [])
    for photo in (skimage.data.astronaut(), skimage.data.coffee()):
        rows, columns = photo.shape[0] // side, photo.shape[1] // side
        corners = [(side * i, side * j) for i in range(rows) for j in range(columns)]
        tiles += [load_image(photo[i : i + side, j : j + side]) for i, j in corners]
    return f"tiles of {side}x{side}", tiles[:3] if cases.quick else tiles[:24]


def codec(cases: Cases) -> None:
    """Encoding on the device, and the file decoded there and on the processor."""
    size, steps = (16, 20) if cases.quick else (512, None)
    image = square_picture("astronaut", size)
    for bpp in (6.0,) if cases.quick else (0.1, 0.35):
        start = cases.now()
        made = compress(image, bpp=bpp, steps=steps, device=cases.device, progress=False)
        seconds, encoded = cases.now() - start, read_file(made.data)
        there = render(models_of(encoded).to(cases.device), made.image.shape[:2], grid=encoded.grid, clamp=None)
        there = (there + torch.tensor(encoded.mean or 0.0)).clamp(0, 1)
        report, apart = made.report, (there.mul(255).round() - made.image.mul(255).round()).abs().max().item()
        measures = dict(encoding=(seconds, "s"), size=(report["bpp"], "bits per pixel"), psnr=(report["psnr"], "dB"))
        measures |= dict(steps=(report["steps"], "steps"), decoded_pixels_differ_by=(apart, "grey levels"))
        cases.add(f"{size}x{size} at {bpp:g} bits per pixel", **measures)


def memory(cases: Cases) -> None:
    """The memory of large fits and of a rendering."""
    fit_once(cases, square_picture("astronaut", 16), 8, 1024, 1, 1e-3, 0)  # the first fit loads kernels
    for size in (32,) if cases.quick else (1024, 2048, 4096):
        set_seed(0)
        cases.forget()
        dls = PixelDataLoaders.from_array(torch.rand(size, size, 3), bs=16384, value_range=(0, 1))
        learn = siren_learner(dls, siren_model([2, 256, 256, 256, 3]))
        start = cases.now()
        with learn.no_bar(), learn.no_logging():
            learn.fit_fast(1)
        epoch = cases.now() - start
        cases.add(f"an epoch of {size}x{size}", signal=(size * size * 12 / 2**20, "MiB"), epoch=(epoch, "s"))
        del dls, learn
    size, model = 64 if cases.quick else 8192, siren_model([2, 256, 256, 256, 3]).to(cases.device)
    start = cases.now()
    render(model, size)
    cases.add(f"rendering {size}x{size}", rendering=(cases.now() - start, "s"))


PARTS = dict(suite=suite, levels=levels, goal=goal, many=many, codec=codec, loops=loops, memory=memory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--folder", default="")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    default_device(options.device == "cuda")
    PARTS[options.part](Cases(options))


if __name__ == "__main__":
    main()
