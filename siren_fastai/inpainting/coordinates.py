"""Filling holes by coordinate networks that are fitted to the known pixels around them: no training set is needed.

In the hole a network's total variation is kept low. By how much it misses the known values at the rim is continued
into the hole by Laplace's equation, so that there is no seam, and the mean of a few networks is taken. How fast they
may vary, their omega_0, is chosen by a test: known pixels of the hole's form, next to it, are hidden and filled. So is
the share of their drawing that is added to the smoothest surface through the rim: 0 for skies, 1 where they are right.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.torch_core import default_device, no_random
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.images import check_image
from siren_fastai.inpainting.baselines import harmonic_fill
from siren_fastai.inpainting.hole_fit import HoleFit
from siren_fastai.inpainting.masks import check_mask, composite
from siren_fastai.inpainting.windows import hidden_as_holes, hole_windows
from siren_fastai.progress import Progress
from siren_fastai.quality import psnr_from_mse

__all__ = ["MARGIN", "OMEGAS", "Filling", "fill_with_siren", "siren_filling"]

MARGIN = 16  # pixels around a hole that the network learns
OMEGAS = (5.0, 9.0, 16.0)  # to choose from
USUAL = 9.0  # where no known pixels can be spared for a test
NETWORKS = 3  # whose mean fills a hole: what each of them invents is left out
TESTS = 3  # holes that are tested, at most, the largest ones


@dataclass(frozen=True)
class Filling:
    """A filled image, and how it came about.

    image: (h, w, c) in [0, 1], known pixels bit for bit. omega_0: the greatest frequency of the networks' first layer,
    in rad per 64 pixels. held_out: for each omega_0 that was tested, the PSNR in dB of the known pixels that were
    hidden; empty if omega_0 was given, or no known pixels could be spared. share: from 0 to 1, how much of the
    networks' drawing is in the image; 0 is `harmonic_fill`. steps: of training in all. seconds: in all.
    """

    image: Tensor
    omega_0: float
    held_out: dict[float, float]
    share: float
    steps: int
    seconds: float


def siren_filling(
    image: Tensor,  # (h, w, c) floats in [0, 1]; what it has in the hole isn't read
    mask: Tensor,  # (h, w) bool, True is known, as `load_mask` gives it
    omega_0: float | None = None,  # the greatest frequency of the first layer, in rad per 64 pixels; None chooses
    tv: float = 0.02,  # weight of the total variation in the hole; 0 leaves it out
    max_steps: int | None = None,  # training steps for a group of holes, at most; None is as its pixels need
    seed: int = 0,  # of torch, numpy and random
    device: torch.device | str | None = None,  # None is fastai's default
    progress: bool | Callable[[float], None] = True,  # show a progress line; or a function, given the share done
) -> Filling:
    """Fill the holes of an image by coordinate networks, and tell how.

    Holes that are near each other are filled together, by the mean of three networks. The time grows with the holes and
    not with the image: networks learn the known pixels up to 16 pixels around.
    Raises: as `check_mask`; TypeError unless the image holds floats; ValueError for images of other shapes or with
    known values outside [0, 1], or options out of range.
    """
    _check(image, mask, omega_0, tv, max_steps)
    started, device = time.perf_counter(), default_device() if device is None else torch.device(device)
    pixels, known = image.detach().cpu().float(), mask.cpu().numpy()
    windows, fit = hole_windows(~known, known, MARGIN), partial(HoleFit, tv=tv, max_steps=max_steps)
    tests = [] if omega_0 is not None else [fit(window, OMEGAS) for window in _hidden(known, windows[:TESTS])]
    report = _Report(
        sum(test.work for test in tests) + sum(fit(window, NETWORKS * (USUAL,)).work for window in windows), progress
    )
    with no_random(seed):
        results = _tested(tests, pixels, device, report)
        chosen, share = _best(results) if omega_0 is None else (float(omega_0), 1.0)
        fits = [fit(window, NETWORKS * (chosen,), share=share) for window in windows]
        filled = pixels.clone()
        for each in fits:
            rows, columns, hole = each.window.rows, each.window.columns, torch.from_numpy(each.window.hole)
            filled[rows, columns][hole] = each.run(pixels, device, [report.of(each)]).mean(0)[hole]
    report.end()
    if not filled[~mask.cpu()].isfinite().all():
        raise ValueError(f"the network diverged at `omega_0`={chosen:g}: give a smaller one")
    filled = composite(filled.clamp_(0, 1).to(image), image, mask)
    steps = sum(each.steps for each in tests + fits)
    held_out = {omega_0: db for omega_0, (db, _) in results.items()}
    return Filling(filled, chosen, held_out, share, steps, time.perf_counter() - started)


@delegates(siren_filling)
def fill_with_siren(
    image: Tensor,  # (h, w, c) floats in [0, 1]
    mask: Tensor,  # (h, w) bool, True is known
    **kwargs,
) -> Tensor:  # (h, w, c) in [0, 1], known pixels bit for bit
    """Fill the holes of an image by coordinate networks: the image of `siren_filling`."""
    return siren_filling(image, mask, **kwargs).image


def _check(image: Tensor, mask: Tensor, omega_0: float | None, tv: float, max_steps: int | None) -> None:
    check_image(image)
    if not image.is_floating_point():
        raise TypeError(
            f"`image` must hold floats in [0, 1], got {image.dtype}: `load_image` makes them from any image"
        )
    check_mask(mask, image.shape[:2])
    low, high = (float(x) for x in image[mask].aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"`image` must be in [0, 1] where it is known, got {low:g} to {high:g}")
    if omega_0 is not None and not 0 < omega_0 < math.inf:
        raise ValueError(f"`omega_0` must be finite and above 0, got {omega_0!r}")
    if not 0 <= tv < math.inf:
        raise ValueError(f"`tv` must be finite and 0 or more, got {tv!r}")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"`max_steps` must be 1 or more, got {max_steps!r}")


def _hidden(known: np.ndarray, windows) -> list:
    """A window of known pixels to hide for each of the windows that some can be spared for."""
    found = []
    for window in windows:
        hidden = hidden_as_holes(known, window, MARGIN)
        if hidden is not None:
            found += hole_windows(hidden, known & ~hidden, MARGIN)[:1]
    return found


def _tested(
    tests: list[HoleFit], pixels: Tensor, device: torch.device, report: "_Report"
) -> dict[float, tuple[float, float]]:
    """For each omega_0, the PSNR in dB of the hidden pixels of all tests, and the best share, by least squares."""
    sums, count = torch.zeros(len(OMEGAS), 3, dtype=torch.float64), 0
    for test in tests:
        hole, known = (torch.from_numpy(part) for part in (test.window.hole, test.window.known))
        values = test.window.of(pixels)
        smooth, truth = harmonic_fill(values, known)[hole].double(), values[hole].double()
        drawn, missing = test.run(pixels, device, [report.of(test)])[:, hole].double() - smooth, truth - smooth
        parts = (drawn.square(), drawn * missing, missing.square().expand_as(drawn))
        sums += torch.stack([part.sum((1, 2)) for part in parts], 1)
        count += truth.numel()
    return {omega_0: _judged(*row, count) for omega_0, row in zip(OMEGAS, sums.tolist(), strict=True)} if count else {}


def _judged(drawn: float, product: float, missing: float, count: int) -> tuple[float, float]:
    """The PSNR in dB, and the share in [0, 1] that makes it greatest. A network that diverged has a share of 0."""
    share = min(max(product / drawn, 0.0), 1.0) if drawn > 0 and math.isfinite(drawn) else 0.0
    error = missing - (2 * share * product - share**2 * drawn if share else 0.0)
    return float(psnr_from_mse(max(error, 0.0) / count)), share


def _best(results: dict[float, tuple[float, float]]) -> tuple[float, float]:
    """The omega_0 of the greatest PSNR, and its share."""
    if not results:
        return USUAL, 1.0
    omega_0 = max(results, key=lambda each: results[each][0])
    return omega_0, results[omega_0][1]


class _Report:
    """The share of all fits that is done, to be shown."""

    def __init__(self, total: float, progress: bool | Callable[[float], None]):
        self.total, self.before, self.line = total, 0.0, Progress() if progress is True else None
        self.show = progress if callable(progress) else self.line.show if self.line else lambda share: None

    def of(self, fit: HoleFit) -> Callback:
        """A callback for one of the fits."""
        before, self.before = self.before, self.before + fit.work
        return _Steps(lambda share: self.show((before + share * fit.work) / self.total))

    def end(self) -> None:
        if self.line:
            self.line.clear()


class _Steps(Callback):
    """Calls a function with the share of the fit that is done after each step."""

    run_valid = False

    def __init__(self, show: Callable[[float], None]):
        self.show = show

    def after_batch(self):
        self.show(self.pct_train)
