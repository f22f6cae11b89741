"""What the losses of a fit say about it, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siren_fastai.health.losses import spikes

__all__ = ["Verdict", "fit_verdict", "memory_verdict", "rate_verdict"]

RISE = 0.1  # of the best validation loss: above it by more than this, it rises
RISE_OF_FALL = 0.01  # and by more than this share of what it fell by
GAP = 1.5  # times the training loss: a validation loss above it is a gap
LEARNED = 0.5  # of an untrained network's loss: above it, little has been learned
STILL_FALLING = 0.05  # of the training loss in a fit's last quarter: a fit that falls by more isn't finished
MEMORISED = 0.1  # of the first loss: a batch whose loss falls below it was memorised
SPIKE_SHARE = 0.01  # of the steps: where more are spikes, the rate is too high


@dataclass(frozen=True)
class Verdict:
    """One word, and the sentence that gives its reason and what to try."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def fit_verdict(
    train: Sequence[float],  # the mean training loss of each epoch
    valid: Sequence[float],  # the mean validation loss of each epoch
    untrained: float,  # the loss of a batch before any step
) -> Verdict:  # "diverged", "overfitting", "underfitting", "unfinished", "fine" or "too short"
    """Judge training and validation losses; ratios are of losses above 0, others are judged by their order alone."""
    if len(train) < 2 or len(valid) != len(train):
        return Verdict("too short", f"a verdict needs two epochs with validation or more, got {len(train)}")
    last, best = train[-1], int(np.nanargmin(valid)) if np.isfinite(valid).any() else 0
    if not (math.isfinite(last) and math.isfinite(valid[-1])) or last > max(train[0], untrained):
        return Verdict("diverged", f"the training loss went from {train[0]:.3g} to {last:.3g}: lower the learning rate")
    noise = max(RISE * abs(valid[best]), RISE_OF_FALL * (untrained - valid[best]))
    if valid[-1] - valid[best] > noise and last < train[best]:
        return Verdict(
            "overfitting",
            f"the validation loss was best in epoch {best} ({valid[best]:.3g}, now {valid[-1]:.3g}) while the training "
            "loss went on falling: stop there, or use more data, augmentation or weight decay",
        )
    if last > 0 and untrained > 0 and last > LEARNED * untrained:
        return Verdict(
            "underfitting",
            f"the training loss is still {last / untrained:.0%} of what it was at first: try `overfit_batch`, a larger "
            "network or bottleneck, less regularisation, another learning rate",
        )
    if valid[-1] > GAP * last > 0:
        return Verdict(
            "overfitting",
            f"the validation loss is {valid[-1] / last:.1f} times the training loss: use more data, augmentation or "
            "weight decay, or check that both have the same kind of samples",
        )
    quarter = train[-1 - max(1, len(train) // 4)]
    if quarter - last > STILL_FALLING * abs(quarter):
        return Verdict(
            "unfinished", f"the training loss fell from {quarter:.3g} to {last:.3g} at the end: train longer"
        )
    return Verdict("fine", f"training and validation loss end at {last:.3g} and {valid[-1]:.3g}")


def rate_verdict(
    losses: Sequence[float],  # of each training step
) -> Verdict:  # "rate too high" or "rate fine"
    """Judge the learning rate by the share of steps with a loss of three times the running median or more."""
    found = spikes(losses)
    if len(found) > max(2, SPIKE_SHARE * len(losses)):
        first = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        many = f"{len(found)} of {len(losses)} steps are spikes of the loss ({first})"
        return Verdict("rate too high", f"{many}: lower the learning rate, clip gradients, or look for outliers")
    return Verdict("rate fine", f"{len(found)} of {len(losses)} steps are spikes of the loss")


def memory_verdict(
    losses: Sequence[float],  # of one batch that is trained on again and again
) -> Verdict:  # "memorised" or "not memorised"
    """Judge whether a network can memorise a batch: if it can't, it, the loss or the rate is at fault, not the data."""
    first, last, steps = losses[0], losses[-1], len(losses) - 1
    went = f"the loss of one batch went from {first:.3g} to {last:.3g} in {steps} steps"
    if math.isfinite(last) and last <= MEMORISED * first:
        return Verdict("memorised", f"{went}: network, loss and gradients fit together")
    return Verdict(
        "not memorised",
        f"{went}: try more steps and other rates; then look for a bottleneck that is too small, frozen layers, too "
        "much regularisation, or a loss that doesn't fit the targets",
    )
