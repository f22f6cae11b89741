"""What the codec's helpers are worth at equal bytes: clusters, mean colour, denoisers.

python benchmarks/codec_helpers.py [PICTURES ...] [--size 256] [--bpp 0.5] [--seeds 0 1 2] [--steps 1000]

Every file is as large as `--bpp` allows, label maps included; PSNR is that of the 8-bit pixels that it decodes to,
before and after the denoiser where there is one. The median and range over the random seeds.
"""

import argparse
import statistics
from pathlib import Path

from clock import square_picture
from report import report

from siren_fastai.codec.compress import Clusters, compress

HELPERS = {
    "plain": {},
    "mean colour": {"mean": True},
    "denoiser, the best": {"denoise": "auto"},
    "4 colour clusters as features": {"clusters": Clusters(4)},
    "2 colour clusters, a network each": {"clusters": Clusters(2, use="network")},
    "4 colour clusters, a network each": {"clusters": Clusters(4, use="network")},
    "2 clusters by error, a network each": {"clusters": Clusters(2, by="error", use="network")},
    "4 clusters by error, a network each": {"clusters": Clusters(4, by="error", use="network")},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", default=["astronaut", "chelsea"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bpp", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--helpers", nargs="+", default=list(HELPERS), choices=list(HELPERS))
    options = parser.parse_args()
    rows = []
    for name in options.pictures:
        image = square_picture(name, options.size)
        for helper in options.helpers:
            settings = dict(bpp=options.bpp, steps=options.steps, progress=False, **HELPERS[helper])
            found = [compress(image, seed=seed, **settings).report for seed in options.seeds]
            levels = [report["psnr"] for report in found]
            row = {"picture": Path(name).stem, "helper": helper, "bytes": statistics.median(r["bytes"] for r in found)}
            row |= {"PSNR dB": statistics.median(levels), "range": f"{min(levels):.2f}–{max(levels):.2f}"}
            before = [r.get("psnr_before_denoising") for r in found]
            row |= {"before the denoiser dB": None if None in before else statistics.median(before)}
            chosen = {r["denoise"][0] for r in found if r.get("denoise")}
            rows.append(row | {"denoiser": ", ".join(sorted(chosen)) or None, "seconds": found[0]["seconds"]})
            print(rows[-1], flush=True)
    report("codec_helpers", rows, dict(size=options.size, bpp=options.bpp, seeds=options.seeds, steps=options.steps))


if __name__ == "__main__":
    main()
