"""How unlike the training images an image is: a network fills parts of it that are known, and the error tells.

A network fills every image with the same confidence, also one of a kind that it has never seen. What it would do in a
hole can't be judged, but further holes can be made where the image is known.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from siren_fastai.inpainting.fill import evaluating
from siren_fastai.inpainting.masks import Rectangles

__all__ = ["Familiar", "auroc", "hidden_errors"]

BATCH = 16  # images at a time
MIN_ERROR = 1e-6  # of values in [0, 1]; a flat image has no error at all, and no logarithm


def hidden_errors(
    model: nn.Module,  # an `InpaintingNetwork`
    images: Tensor,  # (n, c, h, w) floats in [0, 1]
    masks: Tensor | None = None,  # (n, 1, h, w) bool or 0 and 1, 1 is known; None is all known
    holes=None,  # what is hidden in turn, drawn for each image; None is `Rectangles(1, 3, side=(8, 24))`
    repeats: int = 4,  # times that other parts are hidden
    seed: int = 0,  # of what is hidden
) -> Tensor:  # (n,) float32 on the CPU
    """Return the mean absolute error of each image where it is known and was hidden from the network, in [0, 1].

    Raises: ValueError for shapes that don't belong together, or if nothing known was hidden in some image.
    """
    n, _, *size = images.shape
    masks = torch.ones(n, 1, *size, dtype=torch.bool) if masks is None else masks.bool()
    if masks.shape != (n, 1, *size):
        raise ValueError(f"`masks` must be {(n, 1, *size)} for these images, got {tuple(masks.shape)}")
    total, count = torch.zeros(n), torch.zeros(n)
    with evaluating(model) as first:
        for repeat in range(repeats):
            shown = _shown(holes or Rectangles(), n, tuple(size), (seed, repeat)).to(masks.device)
            for part in torch.arange(n).split(BATCH):
                x, known, seen = images[part].to(first), masks[part].to(first.device), shown[part].to(first.device)
                error = (model(x, (known & seen).to(x.dtype)).clamp(0, 1) - x).abs().mean(1, keepdim=True)
                hidden = known & ~seen
                total[part] += (error * hidden).sum((1, 2, 3)).float().cpu()
                count[part] += hidden.sum((1, 2, 3)).float().cpu()
    if not count.all():
        raise ValueError(
            f"nothing known was hidden in image {int(count.argmin())}: use more `repeats` or larger `holes`"
        )
    return total / count


def _shown(holes, n: int, size: tuple[int, int], key: tuple[int, int]) -> Tensor:
    """(n, 1, h, w) bool, False where it is hidden, drawn for each image apart."""
    draws = [holes.draw(np.random.default_rng(np.random.SeedSequence([*key, i])), size) for i in range(n)]
    return holes.paint(torch.from_numpy(np.stack(draws)), size)


@dataclass(frozen=True)
class Familiar:
    """The errors that a network makes on images of its own kind, as mean and standard deviation of their logarithms."""

    mean: float
    std: float

    @classmethod
    def of(
        cls,
        errors: Tensor,  # (n,), as from `hidden_errors`, of images that neither trained nor are to be judged
    ) -> "Familiar":
        """Measure a kind of images. Raises: ValueError for fewer than two images, or equal errors."""
        logs = _logs(errors)
        if len(logs) < 2 or not float(logs.std()) > 0:
            raise ValueError(f"two images or more with different errors are needed, got {len(logs)}")
        return cls(float(logs.mean()), float(logs.std()))

    def score(
        self,
        errors: Tensor,  # (n,), as from `hidden_errors` with the same holes
    ) -> Tensor:  # (n,)
        """How many standard deviations above the mean each image is: above 2 or 3, better don't trust the filling."""
        return ((_logs(errors) - self.mean) / self.std).float()


def auroc(
    familiar: Tensor,  # (n,) scores of images of the kind that trained
    unfamiliar: Tensor,  # (m,) of others
) -> float:
    """The chance that an unfamiliar image scores higher than a familiar one: 0.5 is none at all, 1 is certain."""
    truth = np.r_[np.zeros(len(familiar)), np.ones(len(unfamiliar))]
    return float(roc_auc_score(truth, torch.cat([familiar, unfamiliar]).double().numpy()))


def _logs(errors: Tensor) -> Tensor:
    return errors.double().clamp(min=MIN_ERROR).log()
