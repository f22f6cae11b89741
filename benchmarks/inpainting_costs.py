"""What filling holes costs: the loader against the network, peak memory by size, and whether a network knows its kind.

python benchmarks/inpainting_costs.py [--model data/inpainting.safetensors]

Loader: training samples per second of 128x128 pixels, views and holes included, and those that the default U-Net and
the network of `--model` train on. Memory: the peak of one training step with 16 images, in a process of its own, beyond
what it held before. Unfamiliar: AUROC of `hidden_errors`, of patches of `VALID`, a photo that didn't train, against
other kinds of images.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from report import report
from torch import Tensor
from train_inpainting import VALID, VIEWS, ManyHoles, bundled, read

from siren_fastai.datasets.kali_images import kali_images
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.inpainting.data import inpainting_dataloaders
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.networks import unet
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.unfamiliar import Familiar, auroc, hidden_errors

MEMORY = """
import json, sys
import torch
from siren_fastai.inpainting.networks import inpainting_network
torch.set_num_threads(1)
settings, size = json.loads(sys.argv[1]), int(sys.argv[2])
model = inpainting_network(**settings)
def step(n, side):
    mask = torch.ones(n, 1, side, side)
    mask[:, :, side // 4 : side // 2, side // 4 : side // 2] = 0
    model(torch.rand(n, 3, side, side), mask).square().mean().backward()
step(1, 32)
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
open("/proc/self/clear_refs", "w").write("5")  # Linux: the peak starts again from what is held now
start = peak()
step(16, size)
print((peak() - start) / 1024)
"""


def per_second(step, count: int, seconds: float = 3.0) -> float:
    """How many samples a step of `count` of them does in a second of the processor."""
    step()
    begun, steps = time.process_time(), 0
    while time.process_time() - begun < seconds:
        step()
        steps += 1
    return count * steps / (time.process_time() - begun)


def speeds(models: dict) -> list[dict]:
    sources = Sources(list(read(bundled()).values()))
    rows = []
    for name, options in {"as in training": dict(views=VIEWS, holes=ManyHoles()), "defaults": {}}.items():
        dls = inpainting_dataloaders(sources, bs=16, device="cpu", verbose=False, per_image=64, **options)
        load = partial(dls.train_ds.__getitem__, torch.randint(len(dls.train_ds), (16,)))
        rows.append({"what": f"loader, {name}", "samples per second": per_second(load, 16)})
    image, mask, target, _ = dls.one_batch()
    for name, model in models.items():

        def step(model=model):
            model(image, mask).sub(target).square().mean().backward()

        rows.append({"what": f"training, {name}, float32", "samples per second": per_second(step, 16)})
    return rows


def memory(models: dict) -> list[dict]:
    """Peak of a step in MB by size, which must grow as the pixels do: 256 for 128 is a factor of four."""
    rows = []
    for name, model in models.items():
        command = [sys.executable, "-c", MEMORY, json.dumps(model.settings)]
        found = [float(subprocess.check_output([*command, str(size)])) for size in (128, 256)]
        rows.append({"what": f"memory, {name}", "MB at 128": found[0], "MB at 256": found[1]})
    return rows


def patches(images: list[Tensor], count: int = 48) -> Tensor:
    """(count, 3, 128, 128) in [0, 1]: pieces of images (3, h, w) uint8."""
    rng, found = np.random.default_rng(0), []
    for k in range(count):
        image = images[k % len(images)]
        top, left = (int(rng.integers(n - 127)) for n in image.shape[1:])
        found.append(image[:, top : top + 128, left : left + 128])
    return torch.stack(found).float() / 255


def unfamiliar(model) -> list[dict]:
    """AUROC of each kind of images against patches of the photo."""
    g = torch.Generator().manual_seed(0)
    tiles = tile_images(48 * 16)[0].view(48, 4, 4, 3, 32, 32).permute(0, 3, 1, 4, 2, 5).reshape(48, 3, 128, 128)
    others = {
        "tiles": patches(list(tiles)),
        "fractals": patches(list(kali_images(48, size=128)[0])),
        "noise": torch.rand(48, 3, 128, 128, generator=g),
    }
    known = hidden_errors(model, patches(list(read([VALID]).values())[:1]))
    kind = Familiar.of(known)
    return [
        {"what": f"AUROC, {name}", "AUROC": auroc(kind.score(known), kind.score(hidden_errors(model, images)))}
        for name, images in others.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("data/inpainting.safetensors"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_network(options.model)
    models = {"default U-Net": unet(), options.model.name: trained}
    report("inpainting_costs", [*speeds(models), *memory(models), *unfamiliar(trained.eval())], {"seed": 0})


if __name__ == "__main__":
    main()
