"""Gradients of signals against formulas, mixed fields, and images that are fitted to nothing but their gradients."""

import math

import numpy as np
import pytest
import torch
from fastai.torch_core import set_seed
from torch import nn

from siren_fastai.coords import GRIDS, grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.gradient_learner import GradientLearner, gradient_learner
from siren_fastai.gradients import mix_gradients, signal_gradients
from siren_fastai.models.derivatives import GradientOf
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr


def smooth(shape=(12, 16), channels=3):
    """An image in [0, 1] of low frequencies."""
    waves = [(grid_coords(shape) * torch.tensor([1.0 + k, 2.0 - k])).sum(1).sin() for k in range(channels)]
    return (torch.stack(waves, 1) * 0.4 + 0.5).view(*shape, channels)


def fitted(dls, epochs, seed=0, **options):
    set_seed(seed, reproducible=True)
    learn = gradient_learner(dls, [2, 32, 32, dls.train_ds.mean.numel()], **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, 2e-3)
    return learn


@pytest.mark.parametrize("grid", GRIDS)
def test_gradients_of_a_cubic_are_exact_on_every_grid(grid):
    y, x = grid_coords((7, 9), grid).double().unbind(1)
    values = torch.stack([y**3 - 2 * x, y * x**2], 1).view(7, 9, 2)
    expected = torch.stack([3 * y**2, torch.full_like(x, -2), x**2, 2 * y * x], 1).view(7, 9, 2, 2)
    torch.testing.assert_close(signal_gradients(values, grid), expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(20,), (5, 6), (4, 5, 6)])
def test_gradients_have_a_derivative_for_each_axis(shape):
    assert signal_gradients(np.random.default_rng(0).random((*shape, 2))).shape == (*shape, 2, len(shape))


@pytest.mark.parametrize(
    "values", [torch.zeros(4, 1, 3), torch.zeros(4, 4, 3, dtype=torch.uint8), torch.full((4, 4, 1), math.nan)]
)
def test_signals_without_gradients_are_errors(values):
    with pytest.raises(ValueError, match="finite floats"):
        signal_gradients(values)


def test_a_mix_takes_the_longer_gradient_or_shares():
    first, second = signal_gradients(smooth()), signal_gradients(smooth().flip(1))
    longer = mix_gradients(first, second)
    torch.testing.assert_close(longer.norm(dim=-1), torch.maximum(first.norm(dim=-1), second.norm(dim=-1)))
    torch.testing.assert_close(mix_gradients(first, second, 0.25), 0.75 * first + 0.25 * second)
    left = torch.zeros(12, 16, dtype=torch.bool)
    left[:, :8] = True
    pasted = mix_gradients(first, second, left)
    assert torch.equal(pasted[:, :8], second[:, :8]) and torch.equal(pasted[:, 8:], first[:, 8:])


def test_mixes_that_make_no_sense_are_errors():
    first = signal_gradients(smooth())
    with pytest.raises(ValueError, match="of one shape"):
        mix_gradients(first, first[:5])
    for share in (1.5, torch.zeros(3, 3)):
        with pytest.raises(ValueError, match="`share` must be"):
            mix_gradients(first, first, share)


@pytest.mark.slow
def test_an_image_comes_back_from_its_gradients():
    image = smooth((16, 16))
    learn = fitted(GradientDataLoaders.from_image(image, bs=128), 60)
    assert isinstance(learn, GradientLearner) and isinstance(learn.model, GradientOf)
    assert psnr(learn.render(), image) > 35
    torch.testing.assert_close(learn.render(clamp=None).mean((0, 1)), image.mean((0, 1)), rtol=0, atol=1e-5)
    assert learn.render(32).shape == (32, 32, 3) and psnr(learn.render(32), smooth((32, 32))) > 30


def test_validation_and_predictions_work_and_train_nothing():
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64), 1)
    before = [p.detach().clone() for p in learn.model.parameters()]
    first, again = learn.validate(), learn.validate()
    assert first == again and all(map(torch.equal, before, learn.model.parameters()))
    predictions, targets = learn.get_preds()
    assert predictions.shape == targets.shape == (192, 6) and not predictions.requires_grad
    assert math.isclose((predictions - targets).square().mean(), first[0], rel_tol=1e-5)


def test_the_signals_network_renders_as_the_learner_does():
    learn = fitted(GradientDataLoaders.from_gradients(signal_gradients(smooth()), mean=[0.2, 0.4, 0.6], bs=64), 1)
    network = learn.signal_network()
    values = network(learn.dls.train_ds.coords.cpu()).view(12, 16, 3)
    torch.testing.assert_close(values, learn.render(clamp=None), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.mean((0, 1)), torch.tensor([0.2, 0.4, 0.6]), rtol=0, atol=1e-4)
    assert learn.show_results().axes[0].get_title() == "image from its gradients"


def test_a_network_that_has_no_bias_is_rendered_but_not_given_out():
    dls = GradientDataLoaders.from_image(smooth(channels=1), bs=64)
    network = siren_model([2, 8, 1], final="sine")
    learn = gradient_learner(dls, network)
    assert math.isclose(learn.render(clamp=None).mean(), smooth(channels=1).mean(), abs_tol=1e-5)
    with pytest.raises(ValueError, match="linear layer with a bias"):
        learn.signal_network()


def test_loaders_refuse_what_is_no_field_of_gradients():
    with pytest.raises(ValueError, match=r"\(\*shape, channels, axes\)"):
        GradientDataLoaders.from_gradients(smooth())
    with pytest.raises(ValueError, match="`mean` must be"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), mean=[0.5, 0.5])
    with pytest.raises(ValueError, match="regular grid"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), coords="line")


def test_learners_refuse_other_loaders_and_other_networks():
    with pytest.raises(TypeError, match="GradientDataLoaders"):
        gradient_learner(PixelDataLoaders.from_image(smooth()))
    dls = GradientDataLoaders.from_image(smooth())
    with pytest.raises(ValueError, match="from 2 coordinates to 3 channels"):
        gradient_learner(dls, [2, 8, 1])
    with pytest.raises(ValueError, match="give 6 channels"):
        gradient_learner(dls, nn.Linear(2, 2))
