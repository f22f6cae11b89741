"""Peak memory of fitting and of rendering for images of several sizes; every line is measured in its own process.

python benchmarks/memory.py [--sizes 512 1024 2048 4096] [--render 8192]
python benchmarks/memory.py --job film --sizes 16 64 256

The job "film" fits so many frames of 128x128 instead of images.

Fitting: one epoch of `siren_learner` with batches of 16384. "beyond start" is the peak minus what the process held
before the image was made (interpreter, torch, fastai); "per signal" divides it by the bytes of the float32 signal,
and the slope between the sizes is free of any constant.
"""

import argparse
import json
import resource
import subprocess
import sys

from report import report

FIT = """
import json, resource, sys
import torch
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.render import render
job, size = sys.argv[1], int(sys.argv[2])
model = siren_model([2, 32, 32, 3])
render(model, 256)
warm = siren_learner(PixelDataLoaders.from_array(torch.rand(256, 256, 3)), siren_model([2, 32, 32, 3]))
with warm.no_bar(), warm.no_logging():
    warm.fit(1)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if job == "fit":
    learn = siren_learner(PixelDataLoaders.from_array(torch.rand(size, size, 3), bs=16384, value_range=(0, 1)), model)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
elif job == "film":
    dls = PixelDataLoaders.from_frames(torch.rand(size, 128, 128, 3), rate=25, bs=16384)
    learn = siren_learner(dls, siren_model([3, 32, 32, 3]))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
elif job == "render":
    render(model, size)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([start, peak]))
"""


def measure(job: str, size: int) -> dict:
    done = subprocess.run([sys.executable, "-c", FIT, job, str(size)], capture_output=True, text=True, check=True)
    start, peak = (x * _UNIT / 2**20 for x in json.loads(done.stdout.splitlines()[-1]))
    signal = (size * 128 * 128 if job == "film" else size * size) * 3 * 4 / 2**20
    shape = f"{size} of 128²" if job == "film" else f"{size}²"
    row = {"job": job, "size": shape, "float32 signal MiB": signal, "peak MiB": peak}
    return row | {"beyond start MiB": peak - start, "per signal": (peak - start) / signal}


_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", choices=["fit", "film"], default="fit")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--render", type=int, default=8192)
    options = parser.parse_args()
    rows = [measure(options.job, size) for size in options.sizes]
    for small, large in zip(rows, rows[1:], strict=False):
        grown = large["beyond start MiB"] - small["beyond start MiB"]
        large["slope"] = grown / (large["float32 signal MiB"] - small["float32 signal MiB"])
    if options.job == "film":
        report("memory_film", rows)
        return
    rows.append(measure("render", options.render))
    beyond = rows[-1]["beyond start MiB"] - rows[-1]["float32 signal MiB"]
    report("memory", rows, {"rendering beyond its output, MiB": round(beyond)})


if __name__ == "__main__":
    assert resource  # the child processes need it: Unix only
    main()
