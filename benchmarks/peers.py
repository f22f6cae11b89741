"""Sound, film and an image from its gradients by vsitzmann/siren, at our seconds and at five times as many.

git clone https://github.com/vsitzmann/siren /somewhere/siren
pip install h5py sk-video torchvision
python benchmarks/peers.py --checkout /somewhere/siren [--signals sound film gradients] [--seeds 0 1 2] [--seed 0]

Theirs: the data sets, networks, losses, optimiser and rates of `train_audio.py`, `train_video.py` and
`train_poisson_grad_img.py`, imported from the checkout, in the steps of their `training.train` without its summaries,
checkpoints and `.cuda()`. Ours: `siren_learner` and `fit_fast`. The image from its gradients is theirs alone: ours has
a benchmark of its own.
"""

import argparse
import contextlib
import importlib.util
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from audio import RATE, default_fit, strings
from clock import square_picture
from fastai.torch_core import set_seed
from report import report
from torch.utils.data import DataLoader

from siren_fastai.audio.files import save_audio
from siren_fastai.data import PixelDataLoaders
from siren_fastai.images import save_image
from siren_fastai.learner import siren_learner
from siren_fastai.quality import psnr, snr

PACKAGES = {"h5py": "h5py", "skvideo": "sk-video", "torchvision": "torchvision"}  # what its data and networks import
OPERATORS = ("nms", "qnms")  # which torchvision asks for; a build for GPUs can't load them into torch for CPUs
LATER = 5  # times our seconds, the second time that theirs are measured
FRAMES, SIDE = 16, 64  # of the film, and of the image from its gradients
SOUND_EPOCHS, FILM_EPOCHS, GRADIENTS_SECONDS = 60, 5, 23.0


@dataclass
class Script:
    """One of their scripts: what it fits, how, and how good its outputs (1, n, c) are, in dB."""

    name: str
    data: torch.utils.data.Dataset
    model: Callable[[], torch.nn.Module]
    loss: Callable
    quality: Callable[[torch.Tensor], float]
    everywhere: torch.Tensor  # the positions (n, d) of all samples
    rate: float = 1e-4


def theirs(checkout: Path):
    """Import their `dataio`, `modules` and `loss_functions`; torchvision's operators are declared if it lacks them."""
    missing = [package for name, package in PACKAGES.items() if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"vsitzmann/siren imports packages that are missing: pip install {' '.join(missing)}")
    if not (checkout / "dataio.py").exists():
        sys.exit(f"--checkout {checkout} holds no dataio.py: clone https://github.com/vsitzmann/siren there")
    declared = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode != 0
    if declared:
        for name in OPERATORS:
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    sys.path.append(str(checkout))
    return declared, *(importlib.import_module(name) for name in ("dataio", "modules", "loss_functions"))


def film() -> np.ndarray:
    """A disc goes around before a pattern: frames (n, h, w, 3) in [0, 1]."""
    y, x = np.meshgrid(*[(2 * np.arange(SIDE) + 1) / SIDE - 1] * 2, indexing="ij")
    turn = 2 * np.pi * ((np.arange(FRAMES) + 0.5) / FRAMES)[:, None, None]
    disc = 1 / (1 + np.exp((np.hypot(y - 0.45 * np.sin(turn), x - 0.45 * np.cos(turn)) - 0.3) * 20))
    back = np.broadcast_to(0.5 + 0.2 * np.sin(6 * x) * np.cos(5 * y), disc.shape)
    return np.stack([back + (c - back) * disc for c in (0.95, 0.75, 0.1)], axis=-1).astype(np.float32)


def film_fit(seed: int) -> tuple[float, float]:
    """Our PSNR in dB, and processor seconds."""
    set_seed(seed, reproducible=True)
    learn = siren_learner(PixelDataLoaders.from_frames(film(), rate=FRAMES))
    start = time.process_time()
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(FILM_EPOCHS)
    return psnr(learn.render(), film()), time.process_time() - start


def audio_script(dataio, modules, losses, folder: Path) -> Script:
    path = save_audio(strings(), folder / "clip.wav", RATE)
    data = dataio.ImplicitAudioWrapper(dataio.AudioFile(filename=str(path)))
    target = data[0][1]["func"]
    model = partial(modules.SingleBVPNet, type="sine", mode="mlp", in_features=1)
    return Script("train_audio.py", data, model, losses.function_mse, lambda out: snr(out[0], target), data.grid)


def video_script(dataio, modules, losses, folder: Path) -> Script:
    np.save(folder / "film.npy", film())
    video = dataio.Video(str(folder / "film.npy"))
    data = dataio.Implicit3DWrapper(video, sidelength=video.shape, sample_fraction=38e-4)
    size = dict(in_features=3, out_features=video.channels, hidden_features=1024, num_hidden_layers=3)
    model, loss = partial(modules.SingleBVPNet, type="sine", mode="mlp", **size), partial(losses.image_mse, None)
    return Script(
        "train_video.py", data, model, loss, lambda out: psnr(out / 2 + 0.5, film().reshape(out.shape)), data.mgrid
    )


def gradients_script(dataio, modules, losses, folder: Path) -> Script:
    """The scale and the mean that gradients leave open are fitted to the image before it is compared."""
    image = square_picture("astronaut", SIDE).mean(-1)
    save_image(image[..., None], folder / "image.png")
    data = dataio.Implicit2DWrapper(dataio.ImageFile(str(folder / "image.png")), SIDE, compute_diff="gradients")
    model = partial(modules.SingleBVPNet, type="sine", mode="mlp")  # a `sidelength`, not needed, would go to a GPU

    def quality(out):
        found, true = out.flatten().double().numpy(), np.asarray(image, dtype=np.float64).ravel()
        return psnr(np.polyval(np.polyfit(found, true, 1), found), true)

    return Script("train_poisson_grad_img.py", data, model, losses.gradients_mse, quality, data.mgrid)


def script_fits(script: Script, seconds: list[float], seed: int) -> Iterator[tuple[float, float, int]]:
    """Yield the dB, the processor seconds and the steps of one run at each of `seconds`; measuring isn't counted."""
    set_seed(seed, reproducible=True)
    with contextlib.redirect_stdout(io.StringIO()):  # their networks print themselves
        model = script.model()
    optimizer = torch.optim.Adam(lr=script.rate, params=model.parameters())
    loader, spent, steps = DataLoader(script.data, shuffle=True, batch_size=1), 0.0, 0
    for limit in seconds:
        while spent < limit:
            start = time.process_time()
            for inputs, target in loader:
                sum(loss.mean() for loss in script.loss(model(inputs), target).values()).backward()
                optimizer.step()
                optimizer.zero_grad()
            spent, steps = spent + time.process_time() - start, steps + 1
        yield script.quality(outputs(model, script.everywhere)), spent, steps


@torch.no_grad()
def outputs(model, positions: torch.Tensor) -> torch.Tensor:
    """Their network at all positions (n, d), in parts: (1, n, c)."""
    return torch.cat([model({"coords": part[None]})["model_out"] for part in positions.split(8192)], dim=1)


def row(signal: str, way: str, found: list[tuple], steps: int | None = None) -> dict:
    levels, seconds = (sorted(values) for values in zip(*[x[:2] for x in found], strict=True))
    span = f"{levels[0]:.2f}–{levels[-1]:.2f}" if len(found) > 1 else None
    numbers = {"dB, median": float(np.median(levels)), "range": span, "processor s": float(np.median(seconds))}
    return {"signal": signal, "fit": way} | numbers | {"steps": steps}


SIGNALS = {
    "sound": ("two seconds of sound, SNR", lambda seed: default_fit(strings(), seed, SOUND_EPOCHS), audio_script),
    "film": (f"{FRAMES} frames of {SIDE}x{SIDE}, PSNR", film_fit, video_script),
    "gradients": (f"gray {SIDE}x{SIDE} from gradients, PSNR", None, gradients_script),
}


def rows_of(signal: str, libraries, seeds: list[int], seed: int, folder: Path) -> Iterator[dict]:
    title, ours, make = SIGNALS[signal]
    found = [ours(seed) for seed in seeds] if ours else []
    if found:
        yield row(title, "siren_learner, fit_fast", found)
    seconds = float(np.median([s for _, s in found])) if found else GRADIENTS_SECONDS
    script = make(*libraries, folder)
    for *measured, steps in script_fits(script, [seconds, LATER * seconds], seed):
        yield row(title, script.name, [measured], steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True, help="a clone of vsitzmann/siren")
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of ours")
    parser.add_argument("--seed", type=int, default=0, help="of theirs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    declared, *libraries = theirs(args.checkout)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for signal in args.signals:
            for line in rows_of(signal, libraries, args.seeds, args.seed, Path(folder)):
                rows.append(line)
                print(line, flush=True)
    notes = {"seeds of ours": args.seeds, "of theirs": args.seed}
    report("peers", rows, notes | {"operators of torchvision declared": "nms, qnms" if declared else "none"})


if __name__ == "__main__":
    main()
