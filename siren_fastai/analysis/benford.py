"""Leading digits of pixel values, against Benford's law and against each other.

P(d) = log10(1 + 1/d) is the law's share of the leading decimal digit d. Pixels of 8 bits have no reason to follow it:
they span less than three decades, and 1 (100 to 199) and 2 (200 to 255) have more values than the others. What the
comparison can show is whether a reconstruction changes the digits of its original, and only for raw pixels of equal
shape. Sources: Benford 1938, "The law of anomalous numbers", Proc. Am. Phil. Soc. 78(4), 551-572; the
report of 2020 in franec94/My-Siren-Deep-Learning-Test, called the note here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from siren_fastai.images import to_uint8

__all__ = [
    "BenfordComparison",
    "LeadingDigits",
    "benford_probabilities",
    "compare",
    "deviations",
    "leading_digits",
    "pixel_levels",
]

_LEADING = np.array([int(str(level)[0]) for level in range(256)])  # 0 for level 0


def benford_probabilities() -> np.ndarray:
    """Return the law's nine probabilities, of the digits 1 to 9, float64."""
    return np.log10(1 + 1 / np.arange(1, 10))


def pixel_levels(
    image: np.ndarray | Tensor,  # uint8, or floats in [0, 1]
) -> np.ndarray:
    """Return `image` as uint8 levels: uint8 stays, floats become floor(255 clamp(x, 0, 1) + 0.5).

    Shapes: any; a last axis of 2 or 4 in three dimensions has an alpha channel and is rejected.
    Raises: TypeError for other types; ValueError for alpha, nan, nothing at all, or floats in 0..255.
    """
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.size == 0:
        raise ValueError(f"an image must have pixels, got shape {array.shape}")
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        raise ValueError(
            f"shape {array.shape} has an alpha channel, whose values are not colours: pass gray or RGB only"
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"pixels must be uint8 in [0, 255] or floats in [0, 1], got {array.dtype}")
    if np.median(array) > 2:
        raise ValueError(f"float pixels must be in [0, 1], got a median of {np.median(array):g}: divide by 255")
    return to_uint8(array)


@dataclass(frozen=True)
class LeadingDigits:
    """How many values lead with each digit: `counts` of 1 to 9, and `zeros`, which have no leading digit."""

    counts: tuple[int, ...]
    zeros: int

    @property
    def total(self) -> int:
        """The values that have a leading digit; zeros are in neither numerator nor denominator."""
        return sum(self.counts)

    @property
    def probabilities(self) -> np.ndarray:
        """Shares of the digits 1 to 9, summing to 1. Raises: ValueError if all values are zero."""
        if not self.total:
            raise ValueError(f"all {self.zeros} values are 0, which has no leading digit")
        return np.array(self.counts) / self.total


def leading_digits(
    image: np.ndarray | Tensor,  # as for `pixel_levels`
) -> LeadingDigits:
    """Count the leading decimal digits of `pixel_levels(image)`, channels together."""
    counts = np.bincount(_LEADING[pixel_levels(image)].ravel(), minlength=10)
    return LeadingDigits(tuple(int(n) for n in counts[1:]), int(counts[0]))


def deviations(
    observed: LeadingDigits,  # the digits of an image
    expected: np.ndarray | None = None,  # nine probabilities; None is Benford's law
) -> dict[str, float]:
    """Return how far the digits are from `expected` probabilities.

    `mad`: mean absolute difference of the nine shares; `chi2`: Pearson's statistic, 8 degrees of freedom, which grows
    with the number of values; `ks`: greatest difference of the cumulative shares; `kl`: Kullback-Leibler divergence
    of the observed from the expected, in nats. chi2 and kl are inf if a digit occurs that is expected never to.
    """
    p, q = observed.probabilities, benford_probabilities() if expected is None else np.asarray(expected, float)
    seen, possible = p > 0, q > 0
    impossible = bool((seen & ~possible).any())
    chi2 = observed.total * np.sum((p - q)[possible] ** 2 / q[possible])
    both = seen & possible
    return {
        "mad": float(np.abs(p - q).mean()),
        "chi2": float("inf") if impossible else float(chi2),
        "ks": float(np.abs(np.cumsum(p - q)).max()),
        "kl": float("inf") if impossible else float(np.sum(p[both] * np.log(p[both] / q[both]))),
    }


@dataclass(frozen=True)
class BenfordComparison:
    """The leading digits of an image and of its reconstruction. Made by `compare`."""

    ground_truth: LeadingDigits
    prediction: LeadingDigits

    def table(self) -> pd.DataFrame:
        """Columns digit, Benford, ground truth, predicted: shares in [0, 1], one row for each digit."""
        columns = {"digit": np.arange(1, 10), "Benford": benford_probabilities()}
        shares = {"ground truth": self.ground_truth.probabilities, "predicted": self.prediction.probabilities}
        return pd.DataFrame({**columns, **shares})

    def deviations(self) -> pd.DataFrame:
        """Rows: each image from Benford's law, and the prediction from the ground truth; columns: the measures."""
        rows = {
            "ground truth from Benford": deviations(self.ground_truth),
            "predicted from Benford": deviations(self.prediction),
            "predicted from ground truth": deviations(self.prediction, self.ground_truth.probabilities),
        }
        return pd.DataFrame.from_dict(rows, orient="index")


def compare(
    ground_truth: np.ndarray | Tensor,  # the target as the network saw it, resized
    prediction: np.ndarray | Tensor,  # the network's output, of equal shape
) -> BenfordComparison:
    """Compare the leading digits of the raw pixels of a target and of its reconstruction.

    A gray (h, w) equals (h, w, 1). Raises: ValueError for different shapes, and what `pixel_levels` raises.
    """
    shapes = [_shape(ground_truth), _shape(prediction)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the images must have one shape, got {shapes[0]} and {shapes[1]}: compare the network's output "
            "with its own resized target, not with a figure or the original file"
        )
    return BenfordComparison(leading_digits(ground_truth), leading_digits(prediction))


def _shape(image) -> tuple[int, ...]:
    shape = tuple(np.shape(image))
    return (*shape, 1) if len(shape) == 2 else shape
