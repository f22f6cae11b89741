"""Optimisers by name, each usable as fastai's `opt_func`: `Learner(..., opt_func=soap)`.

All but `ranger` are PyTorch optimisers in fastai's `OptimWrapper`: schedulers set `lr`, `mom` and `wd` as usual.
Ours decay no weights unless `wd` says so: a SIREN's weights are its frequencies. fastai's `ranger` decays by .01 unless
the learner is told `wd=0`, as `siren_learner` tells it.
"""

import contextlib
import io

import pytorch_optimizer
import torch
from fastai.optimizer import OptimWrapper, ranger
from ranger_adabelief import RangerAdaBelief

__all__ = ["OPTIMIZERS", "adam", "muon", "ranger", "ranger_adabelief", "soap"]


def adam(params, lr=1e-4, mom=0.9, sqr_mom=0.999, eps=1e-8, wd=0.0) -> OptimWrapper:
    """Adam as the SIREN authors use it: no weight decay, `torch.optim.Adam`, here in its fused form."""
    options = dict(betas=(mom, sqr_mom), eps=eps, weight_decay=wd, fused=True)
    return OptimWrapper(params, torch.optim.Adam, lr=lr, **options)


def ranger_adabelief(params, lr=1e-3, mom=0.95, sqr_mom=0.999, eps=1e-5, wd=0.0) -> OptimWrapper:
    """RAdam + Lookahead + AdaBelief + gradient centralisation, from the package of that name, without its banner."""
    with contextlib.redirect_stdout(io.StringIO()):
        return OptimWrapper(params, _QuietRanger, lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd)


class _QuietRanger(RangerAdaBelief):
    """The package's optimiser without the lines that it prints when a state is loaded."""

    def __setstate__(self, state):
        torch.optim.Optimizer.__setstate__(self, state)


def soap(params, lr=1e-3, mom=0.95, sqr_mom=0.95, eps=1e-8, wd=0.0, precondition_frequency=10) -> OptimWrapper:
    """Adam in the eigenbasis of Shampoo's preconditioner (arXiv:2409.11321), from pytorch_optimizer."""
    options = dict(betas=(mom, sqr_mom), eps=eps, weight_decay=wd, precondition_frequency=precondition_frequency)
    return OptimWrapper(params, pytorch_optimizer.SOAP, lr=lr, **options)


def muon(params, lr=1e-3, mom=0.95, wd=0.0) -> OptimWrapper:
    """Orthogonalised momentum on the hidden matrices, Adam on the rest (first and last layers, biases).

    Both take the same `lr`: the update's size is matched to Adam's by 0.2 sqrt(max(rows, columns)) (arXiv:2502.16982).
    From pytorch_optimizer. A model without hidden matrices is trained by Adam alone.
    """
    flat = [p for group in _as_groups(params) for p in group]
    hidden = [p for p in flat if p.ndim == 2][1:-1]
    rest = [p for p in flat if not any(p is h for h in hidden)]
    groups = [dict(params=rest, lr=lr, betas=(mom, 0.99), weight_decay=wd, use_muon=False)]
    if hidden:
        groups.append(dict(params=hidden, lr=lr, momentum=mom, weight_decay=wd, use_muon=True, use_adjusted_lr=True))
    return _MuonWrapper(opt=pytorch_optimizer.Muon(groups))


class _MuonWrapper(OptimWrapper):
    """fastai knows one name for a hyper-parameter in all groups; Muon's hidden group calls its momentum otherwise."""

    @property
    def hypers(self):
        moms = [group["momentum"] if group["use_muon"] else group["betas"][0] for group in self.opt.param_groups]
        return [{**hyper, "mom": mom} for hyper, mom in zip(super().hypers, moms, strict=True)]

    def _set_hyper(self, k, v):
        if k != "mom":
            return super()._set_hyper(k, v)
        for group, mom in zip(self.opt.param_groups, v, strict=True):
            group.update({"momentum": mom} if group["use_muon"] else {"betas": (mom, group["betas"][1])})


def _as_groups(params) -> list[list[torch.Tensor]]:
    params = list(params)
    return params if params and isinstance(params[0], (list, tuple)) else [params]


OPTIMIZERS = {f.__name__: f for f in (adam, ranger, ranger_adabelief, soap, muon)}
