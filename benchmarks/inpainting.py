"""How well holes in photos are filled: classic fills, the coordinate network and trained networks, by size of the hole.

python benchmarks/inpainting.py PHOTOS [--models data/inpainting.safetensors ...] [--patches 3] [--fast] [--name N]

PHOTOS is a folder whose images neither trained nor selected anything; `leaves` makes synthetic images instead. Patches
of 128x128 pixels from each, with one to three holes of 8 to 24 pixels ("small"), and one or two of 24 to 56 ("large").
PSNR (60 dB at most), L1 and SSIM are means over patches; "pooled" is the PSNR of the squared error over all pixels of
all holes. "over harmonic" is the difference to the smooth surface, patch by patch, with its standard error over photos.
The coordinate network is fitted to each patch alone. "flips" is the mean of four mirror images.
"""

import argparse
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from dead_leaves import dead_leaves
from report import report
from torch import Tensor
from train_inpainting import bundled, read

from siren_fastai.datasets.folder import iterate_images
from siren_fastai.inpainting.baselines import BASELINES
from siren_fastai.inpainting.coordinates import fill_with_siren
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.scores import filled_ssim, hole_l1, hole_psnr, pooled_psnr

SIZE, MOST = 128, 60.0  # dB: flat synthetic patches are filled exactly
HOLES = {"small": Rectangles(1, 3, side=(8, 24)), "large": Rectangles(1, 2, side=(24, 56))}


def photos(source: str, seed: int) -> list[Tensor]:
    """(h, w, 3) in [0, 1]: those of a folder, or 12 synthetic images of a seed that no training used."""
    if source != "leaves":
        return [torch.from_numpy(image).float() / 255 for _, image in iterate_images(source, channels=3)]
    rng, textures = np.random.default_rng(1000 + seed), list(read(bundled()).values())
    return [dead_leaves(textures, rng, 512).permute(1, 2, 0).float() / 255 for _ in range(12)]


def cases(images: list[Tensor], per_photo: int, holes: Rectangles, seed: int) -> list[tuple[int, Tensor, Tensor]]:
    """For each photo in turn its patches: the photo's number, the patch (h, w, 3) and its mask (h, w)."""
    found = []
    for i, image in enumerate(images):
        for k in range(per_photo):
            rng = np.random.default_rng([seed, i, k])
            top, left = (int(rng.integers(n - SIZE + 1)) for n in image.shape[:2])
            mask = holes.paint(torch.from_numpy(holes.draw(rng, (SIZE, SIZE)))[None], (SIZE, SIZE))[0, 0]
            found.append((i, image[top : top + SIZE, left : left + SIZE], mask))
    return found


def scores(fill, some: list[tuple[int, Tensor, Tensor]]) -> dict:
    """The scores of every patch, the pooled PSNR, and the processor's seconds for a patch."""
    begun = time.process_time()
    filled = [fill(image, mask) for _, image, mask in some]
    seconds = (time.process_time() - begun) / len(some)
    pred, target = (torch.stack(x).permute(0, 3, 1, 2) for x in (filled, [image for _, image, _ in some]))
    mask = torch.stack([mask for *_, mask in some])[:, None]
    values = {name: f(pred, target, mask) for name, f in (("psnr", hole_psnr), ("l1", hole_l1), ("ssim", filled_ssim))}
    values["psnr"] = values["psnr"].clamp(max=MOST)
    return values | {"pooled": pooled_psnr(pred, target, mask), "seconds": seconds}


def row(name: str, size: str, found: dict, harmonic: dict, of: list[int]) -> dict:
    gain = (found["psnr"] - harmonic["psnr"]).tolist()
    by_photo = [statistics.mean(g for g, i in zip(gain, of, strict=True) if i == photo) for photo in sorted(set(of))]
    return {
        "holes": size,
        "method": name,
        "patches": len(gain),
        "hole PSNR dB": found["psnr"].mean().item(),
        "over harmonic dB": statistics.mean(gain),
        "±": statistics.stdev(by_photo) / math.sqrt(len(by_photo)),
        "pooled dB": found["pooled"],
        "L1": found["l1"].mean().item(),
        "SSIM": found["ssim"].mean().item(),
        "processor s": found["seconds"],
    }


def table(options) -> list[dict]:
    """All methods on the same patches."""
    images, rows, fills = photos(options.photos, options.seed), [], dict(BASELINES)
    if not options.fast:
        fills["coordinate network"] = lambda image, mask: fill_with_siren(image, mask, progress=False)
    for path in options.models:
        model = load_network(path)
        fills[path.stem] = lambda image, mask, model=model: fill_image(model, image, mask)
        fills[f"{path.stem}, flips"] = lambda image, mask, model=model: fill_image(model, image, mask, flips=True)
    for size, holes in HOLES.items():
        some = cases(images, options.patches, holes, options.seed)
        found = {name: scores(fill, some) for name, fill in fills.items()}
        rows += [row(name, size, x, found["harmonic"], [i for i, *_ in some]) for name, x in found.items()]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("--models", type=Path, nargs="*", default=[Path("data/inpainting.safetensors")])
    parser.add_argument("--patches", type=int, default=3, help="per photo")
    parser.add_argument("--fast", action="store_true", help="leave the coordinate network out: 4 s per patch")
    parser.add_argument("--seed", type=int, default=0, help="of patches and holes")
    parser.add_argument("--name", default="inpainting")
    options = parser.parse_args()
    torch.set_num_threads(1)
    notes = {"photos": Path(options.photos).name, "seed": options.seed, "models": [x.name for x in options.models]}
    report(options.name, table(options), notes)


if __name__ == "__main__":
    main()
