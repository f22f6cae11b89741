"""Running the command line in tests: small fits in this process, and what two fits have in common."""

import numpy as np
import torch
from PIL import Image

from siren_fastai.analysis.history import read_history
from siren_fastai.cli.main import main
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.folder import MARKER

TINY = ["--hidden_features", "8", "--hidden_layers", "1"]


def picture_file(path, height=16, width=16, channels=1, seed=0):
    """A smooth picture with noise, written as PNG; returns its path."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [0.5 + 0.4 * np.sin(7 * y + c) * np.cos(5 * x - c) for c in range(channels)]
    noise = np.random.default_rng(seed).normal(0, 0.02, (height, width, channels))
    levels = np.clip(255 * (np.stack(waves, -1) + noise), 0, 255).astype(np.uint8)
    Image.fromarray(levels[..., 0] if channels == 1 else levels).save(path)
    return path


def fit(root, *arguments, name="run", epochs=2):
    """`siren-fastai fit` into root/name; returns the exit code."""
    return main(["fit", "--logging_root", str(root), "--experiment_name", name, *_epochs(epochs), *map(str, arguments)])


def _epochs(epochs):
    return [] if epochs is None else ["--num_epochs", str(epochs)]


def old_run(folder, name="history.txt"):
    """A folder as an earlier fit left it, with one file; returns the file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    path.write_text("precious")
    return path


def levels_of(path):
    """The raw 8-bit levels of a file."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def weights(folder):
    """The state dict that a fit ended with."""
    return load_checkpoint(folder / "checkpoints" / "model_final.safetensors").model.state_dict()


def same(a, b):
    """Whether two state dicts are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_same_fit(folder, other):
    """Two fits went the same way, but for the last bits of matrix products, which no test may depend on."""
    for ours, theirs in zip(weights(folder).values(), weights(other).values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    histories = [read_history(path / "history.txt").to_numpy() for path in (folder, other)]
    np.testing.assert_allclose(*histories, rtol=1e-4)
