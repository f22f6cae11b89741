"""Bits and PSNR of whole files: ours, JPEG, WebP and AVIF in one run, compared with published points.

python benchmarks/rate_distortion.py PICTURES... [--bpp .06 .1 .18 .3] [--steps N] [--coin-steps 20] [--figure F.png]

Every size is that of a file on disk and every picture of ours is decoded from it in a fresh process. PSNR is each
picture's over R, G and B of 8 bits, then the mean over pictures. JPEG has optimize=True. Published points are means
over all 24 Kodak pictures; their JPEG curve, measured with the same settings, is printed next to that of the pictures
here, so that one sees how far the two sets compare. COIN's work is its 50 000 full-batch steps, extrapolated from
`--coin-steps` of its network (10 layers of 28) on the first picture. The floor of decoding is the time of the
network's products and sines alone.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from report import report

from siren_fastai.compare.curves import OURS, bits_at_psnr, rd_figure, savings, summary
from siren_fastai.compare.sweep import points
from siren_fastai.coords import grid_coords
from siren_fastai.images import load_image
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.sirn.decode import read_file

PUBLISHED = {  # mean bits per pixel and PSNR over Kodak, as their authors give them
    "COIN (arXiv:2103.03123)": [(0.0368, 22.41), (0.0736, 23.21), (0.1604, 24.64), (0.3074, 26.41), (0.6109, 28.41)],
    "COIN++ (arXiv:2201.12904)": [(0.067, 23.68), (0.133, 24.93), (0.266, 26.14), (0.398, 27.03), (0.537, 27.80)],
    "Struempler basic 8 bit (arXiv:2112.04267)": [(0.100, 25.65), (0.187, 27.15), (0.299, 28.43), (0.591, 30.58)],
    "NIF": [(0.277, 28.32), (0.320, 28.83), (0.577, 30.94)],
    "Cool-Chic 5.0": [(0.084, 27.44), (0.219, 30.86), (0.482, 34.52)],
}
JPEG_KODAK = [(0.141, 23.85), (0.256, 26.67), (0.359, 28.15), (0.449, 29.15)]  # Pillow, optimize=True, all 24
LEVELS = (24.64, 25.65, 26.41, 27.15, 28.0, 28.43)
DECODE = """
import sys, time, json, torch
from siren_fastai.sirn.decode import decompress
from siren_fastai.images import save_image
decompress(sys.argv[1]); start = time.perf_counter(); image = decompress(sys.argv[1])
seconds = time.perf_counter() - start; save_image(image, sys.argv[2])
print(json.dumps({"seconds": seconds, "pixels": image.shape[0] * image.shape[1]}))
"""


def fresh_decode(path: Path, target: Path) -> tuple[float, float, int]:
    """PSNR of the file as a new process decodes it, that process's decoding seconds, and the pixels."""
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder, "out.png")
        run = subprocess.run(
            [sys.executable, "-c", DECODE, str(path), str(png)], check=True, stdout=subprocess.PIPE, text=True
        )
        shown = json.loads(run.stdout)
        return psnr(load_image(png, mode="rgb"), load_image(target, mode="rgb")), shown["seconds"], shown["pixels"]


def coin_seconds(path: Path, steps: int) -> tuple[float, float]:
    """Seconds of a full-batch Adam step of COIN's network, and COIN's 50 000 of them."""
    image = load_image(path)
    coords, values = grid_coords(image.shape[:2]), image.flatten(0, 1)
    net = siren_model([2, *[28] * 10, 3])
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)

    def train(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(coords), values).backward()
            optimizer.step()
        return time.perf_counter() - start

    train(1)  # to warm up
    step = train(steps) / steps
    return step, 50_000 * step


def decode_floor(dims: list[int]) -> float:
    """Seconds per pixel that this machine needs for the network's products and sines alone, in chunks as we decode."""
    n, total = 1 << 14, 0.0
    for n_in, n_out in zip(dims[:-1], dims[1:], strict=True):
        x, w, out = torch.randn(n, n_in), torch.randn(n_in, n_out), torch.empty(n, n_out)
        total += _best_of(lambda x=x, w=w, out=out: torch.mm(x, w, out=out))
        if n_out != dims[-1]:
            total += _best_of(lambda out=out: out.sin())
    return total / n


def _best_of(call, rounds: int = 20) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def equal_psnr(means: pd.DataFrame) -> list[dict]:
    """Bits at equal PSNR: ours, the classics', the published methods', and ours less theirs in per cent."""
    rows = []
    for level in LEVELS:
        ours = bits_at_psnr(means, OURS, level)
        row = {"PSNR dB": level, "ours bpp": ours}
        for codec in [name for name in means["codec"].unique() if name != OURS]:
            theirs = bits_at_psnr(means, codec, level)
            row |= {f"{codec} bpp": theirs, f"{codec} %": _percent(ours, theirs)}
        for name, curve in PUBLISHED.items():
            theirs = interpolated(curve, level)
            row[f"{name.split(' ')[0]} %"] = _percent(ours, theirs)
        row["JPEG of all 24 bpp"] = interpolated(JPEG_KODAK, level)
        rows.append({key: None if isinstance(x, float) and math.isnan(x) else x for key, x in row.items()})
    return rows


def interpolated(curve: list[tuple[float, float]], level: float) -> float:
    """Bits at a PSNR, the logarithm of the rate linear in the PSNR; NaN outside the points."""
    bpp, quality = zip(*curve, strict=True)
    return float(np.exp(np.interp(level, quality, np.log(bpp), left=np.nan, right=np.nan)))


def _percent(ours: float, theirs: float) -> float:
    return 100 * (ours / theirs - 1)


def measured(pictures: dict[str, Path], options, folder: Path) -> list[dict]:
    """The points of all pictures; ours with the speed of decoding in a fresh process."""
    settings, found = dict(folder=folder, steps=options.steps, seed=options.seed, progress=False), []
    for point in points(list(pictures.values()), options.bpp, mode="rgb", **settings):
        found.append(point)
        if point["codec"] == OURS:
            path = folder / f"{Path(point['picture']).stem}_{point['setting']}bpp.sirn"
            fresh, seconds, pixels = fresh_decode(path, pictures[point["picture"]])
            if abs(fresh - point["psnr"]) > 1e-6 or path.stat().st_size != point["bytes"]:
                raise SystemExit(f"{path} decodes to {fresh} dB in a fresh process, not to {point['psnr']}")
            floor = decode_floor(read_file(path).networks[0].dims) * pixels
            point |= {"decode_s": seconds, "megapixels_s": pixels / seconds / 1e6, "of the floor": floor / seconds}
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in point.items()}, flush=True)
    return found


def tables(table: pd.DataFrame, notes: dict, work: tuple[float, float], coin_steps: int) -> None:
    means = summary(table)
    speed = table[table["codec"] == OURS].groupby("setting")[["megapixels_s", "of the floor"]].mean()
    rows = means.merge(speed.reset_index().assign(codec=OURS), how="left", on=["codec", "setting"])
    report("rate_distortion", rows.to_dict("records"), notes | dict(shows="means over the pictures"))
    report("rate_distortion_equal_psnr", equal_psnr(means), notes | dict(shows="ours less theirs in % of their bits"))
    report("rate_distortion_savings", savings(means).to_dict("records"), notes)
    lines = means[means["codec"] == OURS][["setting", "bpp", "psnr", "encode_s"]].to_dict("records")
    lines = [line | {"COIN's 50 000 steps s": work[1], "times less": work[1] / line["encode_s"]} for line in lines]
    report("rate_distortion_work", lines, notes | dict(coin_step_s=work[0], coin_steps_timed=coin_steps))


def figure_of(table: pd.DataFrame):
    figure = rd_figure(table)
    axes = figure.axes[0]
    for name, curve in PUBLISHED.items():
        axes.plot(*zip(*curve, strict=True), ":", marker=".", linewidth=1, label=f"{name}, published, 24 pictures")
    axes.set(xlim=(0.03, 1.2), ylim=(18, 36))
    axes.legend(fontsize=7, loc="lower right")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.06, 0.1, 0.18, 0.33])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coin-steps", type=int, default=200, help="0 leaves the tables out")
    parser.add_argument("--figure", help="PNG to write")
    parser.add_argument("--files", help="folder for our files (default: one that is removed)")
    parser.add_argument(
        "--points", nargs="+", help="JSON files of points that were measured before, to use instead of measuring"
    )
    parser.add_argument("--name", default="rate_distortion_points", help="of the JSON file with the points")
    options = parser.parse_args()
    pictures = {Path(p).name: Path(p) for p in options.pictures}
    notes = dict(pictures=" ".join(pictures), seed=options.seed, steps=options.steps or "default")
    if options.points:
        found = [row for path in options.points for row in json.loads(Path(path).read_text())["rows"]]
    else:
        with tempfile.TemporaryDirectory() as temporary:
            found = measured(pictures, options, Path(options.files or temporary))
    table = report(options.name, found, notes, show=False)
    if options.coin_steps:
        work = coin_seconds(next(iter(pictures.values())), options.coin_steps)
        tables(table, notes, work, options.coin_steps)
    if options.figure:
        figure_of(table).savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
