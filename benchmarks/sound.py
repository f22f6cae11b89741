"""What the default network makes of sound: PSNR of two-second chirps at 16 kHz.

python benchmarks/sound.py [--epochs 10] [--seeds 0 1 2]

Chirps from 20 to 440 Hz and from 100 Hz to 4 kHz, amplitude 0.8, fitted with `fit_fast` by networks of three hidden
layers of 256: the default, which takes its frequencies from the number of samples; the scheme "fast" as it is for
images; and `siren_model(dims, omega_0=3000)` at a learning rate of 1e-4, with hidden layers of 30 and of 3000.
"""

import argparse

import numpy as np
from fastai.torch_core import set_seed
from report import report
from scipy.signal import chirp

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import HIDDEN, fast_model
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model

SECONDS, RATE = 2, 16000
CHIRPS = {"20 to 440 Hz": (20, 440), "100 to 4000 Hz": (100, 4000)}
DIMS = [1, *HIDDEN, 1]
NETWORKS = {
    "default": (fast_model, None),
    '"fast" as for images': (lambda dls: apply_init_(siren_model(DIMS), "fast"), None),
    "omega_0=3000": (lambda dls: siren_model(DIMS, omega_0=3000), 1e-4),
    "omega_0=3000, hidden_omega_0=3000": (lambda dls: siren_model(DIMS, omega_0=3000, hidden_omega_0=3000), 1e-4),
}


def quality(sound: np.ndarray, network: str, epochs: int, seed: int) -> float:
    set_seed(seed, reproducible=True)
    make, rate = NETWORKS[network]
    dls = PixelDataLoaders.from_array(sound, value_range=(-1, 1))
    learn = siren_learner(dls, make(dls))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, rate)
    return learn.validate()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    time, rows = np.arange(SECONDS * RATE) / RATE, []
    for name, (low, high) in CHIRPS.items():
        sound = (0.8 * chirp(time, low, SECONDS, high)).astype(np.float32)[:, None]
        for network in NETWORKS:
            found = sorted(quality(sound, network, args.epochs, seed) for seed in args.seeds)
            span = f"{found[0]:.2f}–{found[-1]:.2f}"
            rows.append({"chirp": name, "network": network, "PSNR dB, median": float(np.median(found)), "range": span})
    report("sound", rows, {"seeds": args.seeds, "epochs": args.epochs})


if __name__ == "__main__":
    main()
