"""Autoencoders with codes of 102 values on tiles of 32x32 pixels, compared at equal training samples.

python benchmarks/autoencoder.py [--rows PCA note ...] [--seeds 0 1 2] [--samples 76800] [--positions 64] [--photos DIR]

PCA         102 components of the training tiles, no training
note        three-layer CNN and `ImageManifoldDecoder`, Adam 1e-3, cosine per step, L1, batches of 64: the note's best
note+50     the same with a third frequency, 50 rad per unit: the Nyquist frequency of 32 pixels
note shift  the same as "note" with its augmentation: mirrored, upside down, moved by up to 4 pixels
fields      `fields_autoencoder`: its start from the training tiles, then Adam 1.5e-4, L1 of all pixels
local       the note's encoder with `LocalCodesDecoder`, trained as the note
modulated   the note's encoder with `ModulatedSirenDecoder`, trained as the note

All rows see the same tiles in the same order, as they are but for "note shift". Networks of positions are trained on
`--positions` random pixels of each tile. Numbers are of all pixels of the tiles of held-out instances, in eval mode,
clamped to [0, 1]. Every run is kept in `results/autoencoder_runs.json`; a run that is there isn't repeated.
`--photos` takes squares of the photos in a folder instead, 16 pixels apart, and holds out every fourth photo.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from fastai.torch_core import set_seed
from report import report
from torch.nn import functional as F

from siren_fastai.autoencoder.decoders.local import LocalCodesDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.modulated import ModulatedSirenDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.fields_start import fields_autoencoder
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.pca import fit_pca
from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.data.picture_sets import tile_dataloaders
from siren_fastai.datasets.patches import image_patches

CODE = 102
RUNS = Path("benchmarks/results/autoencoder_runs.json")
FREQUENCIES = (7.0, 17.0)
MARKS = (0.05, 0.1, 0.2, 0.5, 1)  # of the samples, where it evaluates


def note_like(decoder) -> Autoencoder:
    return Autoencoder(EncoderConv2d((3, 32, 32), CODE), decoder)


NOTE_LIKE = {
    "note": lambda: note_like(ImageManifoldDecoder(CODE)),
    "note+50": lambda: note_like(ImageManifoldDecoder(CODE, pos_embedding_freqs=(*FREQUENCIES, 50.0))),
    "note shift": lambda: note_like(ImageManifoldDecoder(CODE)),
    "local": lambda: note_like(LocalCodesDecoder(CODE)),
    "modulated": lambda: note_like(ModulatedSirenDecoder(CODE)),
}


def loaders(row: str, seed: int, options):
    """The images, in an order that the seed draws."""
    set_seed(seed, reproducible=True)
    moved = row == "note shift"
    how = dict(bs=64, device="cpu", shift=4 if moved else 0, flip=moved)
    if options.photos is None:
        return tile_dataloaders(**how)
    return PictureDataLoaders.from_images(*image_patches(options.photos, stride=16, channels=3), valid=4, **how)


def stream(dls, steps: int):
    """Batches for so many steps, epoch after epoch."""
    while steps:
        for images, _ in dls.train:
            yield images
            steps -= 1
            if not steps:
                return


@torch.no_grad()
def errors(model, dls) -> tuple[float, float]:
    """L1 and mean squared error over the held-out tiles, in eval mode."""
    training = model.training
    model.eval()
    pairs = [(model(images).clamp(0, 1), images) for images, _ in dls.valid]
    model.train(training)
    out, target = (torch.cat(part) for part in zip(*pairs, strict=True))
    return F.l1_loss(out, target).item(), F.mse_loss(out, target).item()


def pixels_loss(model, images, positions: int):
    """L1 at random positions, the same in all images of the batch."""
    index = torch.randperm(images.shape[2] * images.shape[3])[:positions]
    colors = model.decoder.at(model.encode(images), model.decoder.grid_positions()[index])
    return F.l1_loss(colors, images.flatten(2)[:, :, index].transpose(1, 2))


def train_as_the_note(row: str, seed: int, options) -> dict:
    """Adam at 1e-3 with a cosine over the steps."""
    dls = loaders(row, seed, options)
    model = NOTE_LIKE[row]()
    steps = options.samples // 64
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    return run_loop(model, dls, steps, opt, schedule, lambda x: pixels_loss(model, x, options.positions))


def train_fields(row: str, seed: int, options) -> dict:
    """From its start, with a warm-up and a cosine; the start's seconds count, and its samples are all tiles, once."""
    dls = loaders(row, seed, options)
    start = time.process_time()
    model = fields_autoencoder(dls.train_ds.images, CODE, seed=seed)
    spent, begun, n = time.process_time() - start, errors(model, dls), len(dls.train_ds)
    steps = (options.samples - n) // 64
    opt = torch.optim.Adam(model.parameters(), lr=1.5e-4, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 1.5e-4, steps, pct_start=0.05, cycle_momentum=False)
    run = run_loop(model, dls, steps, opt, schedule, lambda images: F.l1_loss(model(images), images))
    run["curve"] = [(n, *begun)] + [(n + seen, *found) for seen, *found in run["curve"]]
    return run | dict(seconds=run["seconds"] + spent)


def run_loop(model, dls, steps: int, opt, schedule, loss_of) -> dict:
    """Train, and evaluate a few times; seconds are those of the processor, for training alone."""
    spent, curve, marks = 0.0, [], {max(1, round(steps * share)) for share in MARKS}
    batches = stream(dls, steps)
    for step in range(1, steps + 1):
        start = time.process_time()
        loss = loss_of(next(batches))
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        spent += time.process_time() - start
        if step in marks:
            curve.append((step * 64, *errors(model, dls)))
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model, model.decoder)]
    return dict(curve=curve, seconds=spent, parameters=sizes[0], decoder=sizes[1])


def components(row: str, seed: int, options) -> dict:
    """The components of largest variance of the training tiles, and their mean."""
    dls = loaders(row, seed, options)
    start = time.process_time()
    pca = fit_pca(dls.train_ds.images, CODE)
    spent = time.process_time() - start
    valid = torch.cat([images for images, _ in dls.valid])
    found = [loss(pca.decode(pca.encode(valid)), valid).item() for loss in (F.l1_loss, F.mse_loss)]
    decoder = pca.axes.numel() + pca.mean.numel()
    curve = [(len(dls.train_ds), *found)]
    return dict(curve=curve, seconds=spent, parameters=decoder + pca.axes.numel(), decoder=decoder)


ROWS = {"PCA": components, "fields": train_fields, **dict.fromkeys(NOTE_LIKE, train_as_the_note)}


def summary(rows: dict[str, list[dict]]) -> list[dict]:
    """A line for each row: medians and ranges over seeds."""
    level = statistics.median(run["curve"][-1][1] for run in rows["note"]) if "note" in rows else None
    return [line(name, runs, level) for name, runs in rows.items()]


def line(name: str, runs: list[dict], level: float | None) -> dict:
    """`level` is the note's last L1, median; "reaches it" is the first evaluation at or below it."""
    l1, mse = ([run["curve"][-1][i] for run in runs] for i in (1, 2))
    reached = [next((n for n, found, _ in run["curve"] if level and found <= level), None) for run in runs]
    return {
        "autoencoder": name,
        "seeds": len(runs),
        "samples": runs[0]["curve"][-1][0],
        "parameters": runs[0]["parameters"],
        "of the decoder": runs[0]["decoder"],
        "L1, median": statistics.median(l1),
        "range": f"{min(l1):.4f}–{max(l1):.4f}",
        "below the note's": f"{1 - statistics.median(l1) / level:.0%}" if level else None,
        "MSE, median": statistics.median(mse),
        "reaches the note's L1 at": None if None in reached or name == "note" else statistics.median_high(reached),
        "processor s, median": statistics.median(run["seconds"] for run in runs),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=76800)
    parser.add_argument("--positions", type=int, default=64, help="random pixels per tile and step")
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of the tiles")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = options.photos.name if options.photos else "tiles"
    protocol = dict(images=images, samples=options.samples, positions=options.positions)
    runs = json.loads(RUNS.read_text())["rows"] if RUNS.exists() else []
    for seed in options.seeds:
        for row in options.rows:
            key = dict(row=row, seed=seed, **protocol)
            if not any(key.items() <= run.items() for run in runs):
                runs.append(key | ROWS[row](row, seed, options))
                report(RUNS.stem, runs, show=False)
                print({k: v for k, v in runs[-1].items() if k != "curve"}, runs[-1]["curve"][-1], flush=True)
    of_protocol = [run for run in runs if protocol.items() <= run.items()]
    names = [row for row in ROWS if any(run["row"] == row for run in of_protocol)]
    name = "autoencoder" if images == "tiles" else f"autoencoder_{images}"
    report(name, summary({row: [run for run in of_protocol if run["row"] == row] for row in names}), protocol)


if __name__ == "__main__":
    main()
