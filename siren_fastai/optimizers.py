"""Optimisers by name, each usable as fastai's `opt_func`: `Learner(..., opt_func=soap)`.

All but `ranger` are PyTorch optimisers in fastai's `OptimWrapper`: schedules set `lr`, `mom` and `wd` as usual.
Ours decay no weights unless `wd` says so: a SIREN's weights are its frequencies. fastai's `ranger` decays by 0.01
unless the learner is told `wd=0`, as `siren_learner` tells it.
"""

import contextlib
import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from fastai.callback.schedule import valley
from fastai.optimizer import OptimWrapper, ranger
from ranger_adabelief import RangerAdaBelief

from siren_fastai.starts.files import load_start
from siren_fastai.starts.sgd import RatedSGD
from siren_fastai.starts.start import Start

__all__ = [
    *("OPTIMIZERS", "adam", "adamw", "fast_adam", "learned_sgd", "muon", "ranger", "ranger_adabelief", "soap"),
    "twice_valley",
]


class _Wrapper(OptimWrapper):
    """fastai's wrapper with hyper-parameters that are numbers: its TensorBoardCallback plots each of them."""

    @property
    def hypers(self):
        return [{k: v for k, v in hyper.items() if isinstance(v, (int, float))} for hyper in super().hypers]


def adam(
    params,  # parameters, or a list of them for each group, as fastai passes them
    lr: float = 1e-4,  # learning rate
    mom: float = 0.9,  # decay of the gradient's average, beta_1
    sqr_mom: float = 0.999,  # decay of the squared gradient's average, beta_2
    eps: float = 1e-8,  # added to the denominator
    wd: float = 0.0,  # weight decay
) -> OptimWrapper:
    """Return Adam as the SIREN authors use it, without weight decay: `torch.optim.Adam` in its fused form."""
    return _fused(torch.optim.Adam, params, lr, mom, sqr_mom, eps, wd)


def adamw(
    params,  # as for `adam`
    lr: float = 1e-4,  # learning rate
    mom: float = 0.9,  # decay of the gradient's average, beta_1
    sqr_mom: float = 0.999,  # decay of the squared gradient's average, beta_2
    eps: float = 1e-8,  # added to the denominator
    wd: float = 0.0,  # weight decay: each step takes lr * wd of a weight, whatever its gradients were
) -> OptimWrapper:
    """Return Adam with decoupled weight decay: `torch.optim.AdamW` in its fused form. Without `wd` it is `adam`.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    return _fused(torch.optim.AdamW, params, lr, mom, sqr_mom, eps, wd)


def fast_adam(
    params,  # as for `adam`
    lr: float = 5e-4,  # learning rate
    mom: float = 0.9,  # decay of the gradient's average, beta_1
    sqr_mom: float = 0.98,  # decay of the squared gradient's average, beta_2
    eps: float = 1e-8,  # added to the denominator
    wd: float = 0.0,  # weight decay
) -> OptimWrapper:
    """Return `adam` with the average over about 50 squared gradients that suits short fits, where 1000 are too many.

    The default of `siren_learner`, found by benchmarks/search.py.
    """
    return _fused(torch.optim.Adam, params, lr, mom, sqr_mom, eps, wd)


def _fused(kind: type, params, lr: float, mom: float, sqr_mom: float, eps: float, wd: float) -> OptimWrapper:
    return _Wrapper(params, kind, lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd, fused=True)


def ranger_adabelief(
    params,  # as for `adam`
    lr: float = 1e-3,  # learning rate: 4 to 8 times that of Adam
    mom: float = 0.95,  # decay of the gradient's average, beta_1
    sqr_mom: float = 0.999,  # decay of the squared deviation's average, beta_2
    eps: float = 1e-16,  # AdaBelief's; the package's own 1e-5 does not train a SIREN
    wd: float = 0.0,  # weight decay, not scaled by the gradient
) -> OptimWrapper:
    """Return RAdam + Lookahead + AdaBelief + gradient centralisation, from the package of that name.

    The package adds `eps` to its running average at every step, as AdaBelief's own code does, so the average settles
    near `eps / (1 - sqr_mom)`: 1e-2 for an eps of 1e-5, far above a SIREN's squared gradients, and the steps become too
    small to learn more than the mean colour. RAdam's warm-up and Lookahead slow the start: the 5e-4 of `siren_learner`
    trains, but 2e-3 to 4e-3 is better, and 8e-3 too much for all but a short fit.
    Source: Zhuang et al. 2020, arXiv:2010.07468, whose code recommends an eps of 1e-16 for Adam-like training.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints a banner
        return _Wrapper(params, _QuietRanger, lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd)


class _QuietRanger(RangerAdaBelief):
    """The package's optimiser without the lines that it prints when a state is loaded."""

    def __setstate__(self, state):
        torch.optim.Optimizer.__setstate__(self, state)


def soap(
    params,  # as for `adam`
    lr: float = 1e-3,  # learning rate
    mom: float = 0.95,  # decay of the gradient's average, beta_1
    sqr_mom: float = 0.95,  # decay of the squared gradient's average, beta_2
    eps: float = 1e-8,  # added to the denominator
    wd: float = 0.0,  # weight decay
    precondition_frequency: int = 10,  # steps from one update of the eigenbasis to the next
) -> OptimWrapper:
    """Return Adam in the eigenbasis of Shampoo's preconditioner, from pytorch_optimizer.

    Source: Vyas et al. 2024, arXiv:2409.11321.
    """
    import pytorch_optimizer  # half a second, which only its users pay

    options = dict(betas=(mom, sqr_mom), eps=eps, weight_decay=wd, precondition_frequency=precondition_frequency)
    return _Wrapper(params, pytorch_optimizer.SOAP, lr=lr, **options)


def muon(
    params,  # as for `adam`
    lr: float = 1e-3,  # learning rate of all layers
    mom: float = 0.95,  # momentum of the hidden matrices, and beta_1 of the rest
    wd: float = 0.0,  # weight decay
) -> OptimWrapper:
    """Return orthogonalised momentum on the hidden matrices and Adam on the rest (first and last layers, biases).

    Both take the same `lr`: an update's size is matched to Adam's by 0.2 sqrt(max(rows, columns)). A model without
    hidden matrices is trained by Adam alone. A learner's `splitter`, and rates for each of its groups, are honoured.
    From pytorch_optimizer.
    Source: Liu et al. 2025, arXiv:2502.16982.
    """
    import pytorch_optimizer  # as in `soap`

    lists = _as_lists(params)
    matrices = [p for group in lists for p in group if p.ndim == 2]
    hidden = {id(p) for p in matrices[1:-1]}
    groups, owners = [], []
    for owner, group in enumerate(lists):
        rest, inner = [p for p in group if id(p) not in hidden], [p for p in group if id(p) in hidden]
        if rest:
            groups.append(dict(params=rest, lr=lr, betas=(mom, 0.99), weight_decay=wd, use_muon=False))
        if inner:
            groups.append(dict(params=inner, lr=lr, momentum=mom, weight_decay=wd, use_muon=True, use_adjusted_lr=True))
        owners += [owner] * (len(groups) - len(owners))
    return _MuonWrapper(pytorch_optimizer.Muon(groups), owners)


class _MuonWrapper(_Wrapper):
    """Muon's groups as the learner's: each of those is one or two of Muon's, for hidden matrices and for the rest.

    fastai has one name for a hyper-parameter in all groups; Muon's hidden group has another for its momentum.
    """

    def __init__(self, opt: torch.optim.Optimizer, owners: list[int]):  # the learner's group of each of `opt`
        super().__init__(opt=opt)
        self.owners = owners

    @property
    def param_lists(self) -> list[list[torch.Tensor]]:
        lists = [[] for _ in range(max(self.owners) + 1)]
        for owner, group in zip(self.owners, self.opt.param_groups, strict=True):
            lists[owner] += group["params"]
        return lists

    @property
    def hypers(self) -> list[dict[str, float]]:
        moms = [group["momentum"] if group["use_muon"] else group["betas"][0] for group in self.opt.param_groups]
        hypers = [{**hyper, "mom": mom} for hyper, mom in zip(super().hypers, moms, strict=True)]
        return [hypers[self.owners.index(owner)] for owner in range(max(self.owners) + 1)]

    def _set_hyper(self, k, v):
        values = [v[owner] for owner in self.owners]
        if k != "mom":
            return super()._set_hyper(k, values)
        for group, mom in zip(self.opt.param_groups, values, strict=True):
            group.update({"momentum": mom} if group["use_muon"] else {"betas": (mom, group["betas"][1])})


def _as_lists(params) -> list[list[torch.Tensor]]:
    """A list for each group: fastai passes parameters, or groups of them if the learner has a splitter."""
    params = list(params)
    return [params] if all(isinstance(p, torch.Tensor) for p in params) else [list(group) for group in params]


def learned_sgd(
    start: Start | str | Path,  # or the path of its file
) -> Callable:  # an `opt_func` of fastai's
    """Return gradient descent at the rates of a learned start: `learn.fit(3, 1.0)`, with whole images as batches.

    `lr` multiplies all rates; 1 gives the steps that the start was learned for. There is no momentum, so no schedule of
    it: `fit`, not `fit_one_cycle`.
    Raises: as `load_start`.
    """
    start = start if isinstance(start, Start) else load_start(start)
    return partial(_learned_sgd, rates=list(start.rates.values()))


def _learned_sgd(params, rates, lr=1.0, wd=0.0) -> OptimWrapper:
    return _RatedWrapper(params, RatedSGD, rates=rates, lr=lr, weight_decay=wd)


class _RatedWrapper(_Wrapper):
    """`RatedSGD` as a learner's optimiser, which says why a schedule of momentum can't work."""

    def _set_hyper(self, k, v):
        if k == "mom":
            raise ValueError("the rates of a start are for steps without momentum: use `learn.fit(3, 1.0)`")
        super()._set_hyper(k, v)


def twice_valley(
    lrs: torch.Tensor,  # (n,) the learning rates that `lr_find` tried
    losses: torch.Tensor,  # (n,) the smoothed losses
    num_it: int,  # steps that it was asked for
) -> tuple[float, tuple[float, torch.Tensor]]:
    """A suggestion for `lr_find(suggest_funcs=...)`: two times fastai's `valley`.

    Returns: the rate, and the point to mark in the plot. On a coordinate network the loss falls while rates are far too
    low, which draws the valley down. Three images, three initialisations (benchmarks/rates.py): two times the valley is
    better than the valley in all nine fits, by 2.9 to 5.4 dB, 4.0 in the median; four times is better still in all,
    eight times worse than the valley itself in two.
    """
    rate = 2 * valley(lrs, losses, num_it)[0]
    nearest = (lrs.log() - math.log(rate)).abs().argmin()
    return rate, (rate, losses[nearest])


OPTIMIZERS = {f.__name__: f for f in (adam, adamw, fast_adam, ranger, ranger_adabelief, soap, muon)}
