"""Two seconds of sound at 16 kHz, fitted on one core: the SNR and the processor seconds of training.

python benchmarks/audio.py [--epochs 60] [--seeds 0 1 2] [--recipe] [--name audio]

Two sounds that are made by formula: plucked strings, and vowels with a gliding pitch. `siren_learner` with its defaults
and `fit_fast`; with `--recipe` also, for as many processor seconds, the recipe of the SIREN paper's audio script: all
samples in each step, Adam at 5e-5, positions on [-100, 100] with omega_0=30, which is omega_0=3000 on [-1, 1].
"""

import argparse
import time

import numpy as np
import torch
from fastai.torch_core import set_seed
from report import report

from siren_fastai.audio.figures import spectrogram
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import snr

SECONDS, RATE = 2, 16000
NOTES = {0.0: 196.0, 0.3: 246.94, 0.6: 293.66, 0.9: 392.0, 1.2: 587.33}  # seconds and Hz
FORMANTS = ((1.0, 730, 270, 90), (0.6, 1090, 2290, 120), (0.25, 2440, 3010, 160))  # amplitude, Hz of "a" and "i", width


def strings() -> np.ndarray:
    """Five plucked strings: twelve partials each, slightly sharp, the higher ones dying away sooner."""
    time, sound = np.arange(SECONDS * RATE) / RATE, 0.0
    for start, pitch in NOTES.items():
        since = np.clip(time - start, 0, None)
        for k in range(1, 13):
            hertz, fade = k * pitch * np.sqrt(1 + 1e-4 * k * k), np.exp(-since * (2 + 0.6 * k))
            sound = sound + np.sin(k * np.pi / 5) / k * fade * np.sin(2 * np.pi * hertz * since)
    return _scaled(sound)


def vowels() -> np.ndarray:
    """A voice that goes from "a" to "i" and back twice: forty harmonics of a pitch around 120 Hz."""
    time = np.arange(SECONDS * RATE) / RATE
    pitch, mix = 120 + 25 * np.sin(2 * np.pi * 0.7 * time), 0.5 - 0.5 * np.cos(2 * np.pi * time)
    phase, sound = 2 * np.pi * np.cumsum(pitch) / RATE, 0.0
    for k in range(1, 41):
        parts = [a * np.exp(-0.5 * ((k * pitch - (1 - mix) * f - mix * g) / w) ** 2) for a, f, g, w in FORMANTS]
        sound = sound + sum(parts) * np.sin(k * phase)
    return _scaled(sound * np.sin(1.5 * np.pi * time) ** 2)


def _scaled(sound: np.ndarray) -> np.ndarray:
    return (0.8 * sound / np.abs(sound).max()).astype(np.float32)


def fitted(sound: np.ndarray, seed: int, epochs: int) -> tuple[np.ndarray, float]:
    """The samples (n,) of the default network after `fit_fast`, and the processor seconds of training."""
    set_seed(seed, reproducible=True)
    learn = siren_learner(PixelDataLoaders.from_audio(sound, RATE))
    start = time.process_time()
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    seconds = time.process_time() - start
    return learn.render()[:, 0].numpy(), seconds


def default_fit(sound: np.ndarray, seed: int, epochs: int) -> tuple[float, float]:
    """The SNR in dB and the processor seconds of `fit_fast`."""
    rendered, seconds = fitted(sound, seed, epochs)
    return snr(rendered, sound), seconds


def recipe_fit(sound: np.ndarray, seed: int, seconds: float) -> tuple[float, float]:
    """The SNR in dB and the processor seconds of the paper's recipe, given `seconds`."""
    set_seed(seed, reproducible=True)
    data = PixelDataLoaders.from_audio(sound, RATE).train_ds
    model = siren_model([1, 256, 256, 256, 1], omega_0=3000)
    optimizer, start = torch.optim.Adam(model.parameters(), 5e-5), time.process_time()
    while time.process_time() - start < seconds:
        loss = torch.nn.functional.mse_loss(model(data.coords), data.values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return snr(model(data.coords)[:, 0], sound), time.process_time() - start


def draw(axes, seed: int = 0, epochs: int = 60) -> None:
    """Draw spectrograms up to 8 kHz: the plucked strings, and below them the network that was fitted to them."""
    sound = strings()
    powers = [spectrogram(samples, RATE)[2] for samples in (fitted(sound, seed, epochs)[0], sound)]
    levels = [10 * np.log10(np.maximum(found / powers[1].max(), 1e-9)) for found in powers]
    gap = np.full((len(levels[0]) // 40, levels[0].shape[1]), np.nan)
    shown = np.vstack([levels[0], gap, levels[1]])
    axes.imshow(shown, origin="lower", aspect="auto", vmin=-90, vmax=0, cmap="magma", interpolation="nearest")
    for name, height in {"network": len(levels[0]) - 12, "sound": len(shown) - 12}.items():
        axes.text(1, height, name, color="white", va="top", fontsize=9)
    axes.axis("off")


def row(sound: str, way: str, found: list[tuple[float, float]]) -> dict:
    levels, seconds = zip(*sorted(found), strict=True)
    span = f"{levels[0]:.2f}–{levels[-1]:.2f}"
    return {"sound": sound, "fit": way, "SNR dB, median": float(np.median(levels)), "range": span} | {
        "processor seconds": float(np.median(seconds))
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", action="store_true", help="the paper's recipe too, for as many seconds")
    parser.add_argument("--name", default="audio", help="of the results' file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, make in {"plucked strings": strings, "vowels": vowels}.items():
        sound = make()
        rows.append(row(name, "fit_fast", [default_fit(sound, seed, args.epochs) for seed in args.seeds]))
        print(rows[-1], flush=True)
        if args.recipe:
            seconds = rows[-1]["processor seconds"]
            rows.append(row(name, "the paper's recipe", [recipe_fit(sound, seed, seconds) for seed in args.seeds]))
            print(rows[-1], flush=True)
    report(args.name, rows, {"seeds": args.seeds, "epochs": args.epochs})


if __name__ == "__main__":
    main()
