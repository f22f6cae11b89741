"""`learn_start`: from a family of images, the weights and rates from which a new image takes few steps.

Sources: model-agnostic meta-learning, Finn et al. 2017, arXiv:1703.03400, algorithm 1, with a learned rate for each
layer and step, Antoniou et al. 2019, arXiv:1810.09502, section 4; for coordinate networks Tancik et al. 2021,
arXiv:2012.02189.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from siren_fastai.coords import grid_coords
from siren_fastai.models.describe import describe_model
from siren_fastai.models.field import Field
from siren_fastai.models.siren import sine_layers
from siren_fastai.starts.start import Start, weights_of
from siren_fastai.starts.steps import as_values, errors, take_steps

__all__ = ["learn_start"]

MAX_NORM = 1.0  # of a meta-step's gradient: a rare batch must not throw away what was learned
LEAST_ERROR = 1e-12  # of a reported PSNR, which is then 120 dB


def learn_start(
    images: Tensor,  # (n, c, h, w) uint8, or float in [0, 1]: the family
    model: nn.Module,  # of `siren_model` or `field_model`, where the learning begins; it stays as it is
    inner_steps: int = 3,  # gradient steps that a new image will take, 1 or more
    meta_steps: int = 1000,  # steps of the learning
    bs: int = 8,  # images of a meta-step
    lr: float = 3e-3,  # greatest learning rate of the meta-steps: Adam on weights and rates, with cosine decay
    rate: float = 3e-2,  # all rates of the inner steps at first
    family: str = "",  # what the images are, for messages
    seed: int = 0,  # of the order of images
    progress: Callable[[int, float], None] | None = None,  # is given the number and the mean PSNR of each meta-step
) -> Start:
    """Learn weights and the rates of `inner_steps` gradient steps that fit a new image of the family well.

    A meta-step takes these steps for `bs` images, from the shared weights, and then moves weights and rates to lower
    the images' mean squared error afterwards, by its gradient through all steps (second order). Each tensor has a rate
    of its own for each step. Time and memory are about those of `7 * inner_steps * bs` evaluations for a meta-step.
    Raises: TypeError or ValueError for images that `as_values` rejects, numbers out of range, or a network that reads
    or gives other sizes, or computes with more than its parameters; ValueError if the learning diverges.
    """
    values = as_values(images)
    _check_numbers(inner_steps=inner_steps, meta_steps=meta_steps, bs=bs)
    _check_rates(lr=lr, rate=rate)
    model = copy.deepcopy(model.net if isinstance(model, Field) else model).to(values.device)
    coords = grid_coords(images.shape[2:]).to(values)
    _check_network(model, coords, values)
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in weights_of(model).items()}
    rates = {name: weight.new_full((inner_steps,), rate).requires_grad_() for name, weight in weights.items()}
    optimizer = torch.optim.Adam([*weights.values(), *rates.values()], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, meta_steps)
    generator, recent = torch.Generator().manual_seed(seed), math.nan
    for step in range(meta_steps):
        batch = values[torch.randperm(len(values), generator=generator)[:bs].to(values.device)]
        loss = errors(model, take_steps(model, weights, rates, coords, batch, inner_steps), coords, batch).mean()
        if not _descend(optimizer, loss):
            raise ValueError(f"the learning diverged at meta-step {step}: lower `rate` ({rate:g}) or `lr` ({lr:g})")
        schedule.step()
        recent = -10 * math.log10(max(loss.item(), LEAST_ERROR))
        if progress is not None:
            progress(step, recent)
    about = dict(images=len(values), meta_steps=meta_steps, bs=bs, lr=lr, rate=rate, seed=seed, last_psnr=recent)
    sines = tuple((layer.omega_0, layer.gain) for layer in sine_layers(model))
    weights, rates = ({name: each.detach() for name, each in part.items()} for part in (weights, rates))
    return Start(weights, rates, describe_model(model), sines, tuple(images.shape[2:]), family, about)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> bool:
    """Take a meta-step, unless its gradient isn't finite; return whether it was taken."""
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], MAX_NORM)
    if not bool(norm.isfinite()):
        return False
    optimizer.step()
    return True


def _check_rates(**rates) -> None:
    for name, rate in rates.items():
        if not 0 < rate < math.inf:
            raise ValueError(f"`{name}` must be above 0 and finite, got {rate!r}")


def _check_numbers(**numbers) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"`{name}` must be an integer of 1 or more, got {number!r}")


@torch.no_grad()
def _check_network(model: nn.Module, coords: Tensor, values: Tensor) -> None:
    """Raise ValueError for a network that doesn't fit the images, or whose function is more than its parameters."""
    describe_model(model)
    if any(True for _ in model.buffers()):
        raise ValueError("`model` has numbers that are fixed, which a start doesn't hold: a SIREN has none")
    needed = f"read positions (p, {coords.shape[1]}) and give (p, {values.shape[2]}), as the images' channels"
    try:
        output = model(coords[:2])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"`model` must {needed}; it fails: {error}") from error
    if output.shape != (2, values.shape[2]):
        raise ValueError(f"`model` must {needed}; it gives {tuple(output.shape)} for 2 positions")
