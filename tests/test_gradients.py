"""Gradients of signals against formulas, mixed fields, and images that are fitted to nothing but their gradients."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from torch import nn

from siren_fastai.coords import GRIDS, axis_positions, grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.gradient_learner import GradientLearner, gradient_learner
from siren_fastai.gradients import gradient_axes, mix_gradients, signal_gradients, signal_shape
from siren_fastai.models.derivatives import GradientOf
from siren_fastai.models.siren import siren_model
from siren_fastai.page.save import page_html
from siren_fastai.quality import psnr

pytestmark = pytest.mark.numerics


def smooth(shape=(12, 16), channels=3):
    """An image in [0, 1] of low frequencies."""
    waves = [(grid_coords(shape) * torch.tensor([1.0 + k, 2.0 - k])).sum(1).sin() for k in range(channels)]
    return (torch.stack(waves, 1) * 0.4 + 0.5).view(*shape, channels)


def fitted(dls, epochs, seed=0, **options):
    set_seed(seed, reproducible=True)
    learn = gradient_learner(dls, [2, 32, 32, dls.train_ds.signal.mean.numel()], **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, 2e-3)
    return learn


@pytest.mark.parametrize("density", [1, 2, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_gradients_of_a_cubic_are_exact_on_every_grid(grid, density):
    samples = [axis_positions(n, grid).double() for n in (7, 9)]
    y, x = torch.meshgrid(*samples, indexing="ij")
    values = torch.stack([y**3 - 2 * x, y * x**2], -1)
    y, x = torch.meshgrid(*gradient_axes((7, 9), grid, density), indexing="ij")
    expected = [torch.stack([3 * y**2, torch.full_like(x, -2)], -1), torch.stack([x**2, 2 * y * x], -1)]
    found = signal_gradients(values, grid, density)
    torch.testing.assert_close(found, torch.stack(expected, -2).float(), rtol=1e-4, atol=1e-5)


def test_gradients_lie_in_the_middle_of_equal_parts_between_samples():
    samples = axis_positions(5).double()
    for density, parts in ((1, [0.5]), (2, [0.25, 0.75]), (4, [0.125, 0.375, 0.625, 0.875])):
        expected = torch.cat([low + (high - low) * torch.tensor(parts) for low, high in samples.unfold(0, 2, 1)])
        torch.testing.assert_close(gradient_axes((5,), density=density)[0], expected.double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", [(20,), (5, 6), (4, 5, 6)])
def test_gradients_have_a_derivative_for_each_axis_and_say_the_signals_shape(shape):
    for density in (1, 2):
        gradients = signal_gradients(np.random.default_rng(0).random((*shape, 2)), density=density)
        assert gradients.shape[-2:] == (2, len(shape))
        assert signal_shape(gradients.shape[:-2], density) == shape


@pytest.mark.parametrize(
    "values", [torch.zeros(4, 1, 3), torch.zeros(4, 4, 3, dtype=torch.uint8), torch.full((4, 4, 1), math.nan)]
)
def test_signals_without_gradients_are_errors(values):
    with pytest.raises(ValueError, match="finite floats"):
        signal_gradients(values)


def test_densities_that_make_no_sense_are_errors():
    for density in (0, 1.5):
        with pytest.raises(ValueError, match="`density` must be an integer"):
            signal_gradients(smooth(), density=density)
    with pytest.raises(ValueError, match="don't have a `density` of 3"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), density=3)
    with pytest.raises(ValueError, match="two samples or more"):
        gradient_axes((4, 1))


def test_a_mix_takes_the_longer_gradient_or_shares():
    first, second = signal_gradients(smooth()), signal_gradients(smooth().flip(1))
    longer = mix_gradients(first, second)
    torch.testing.assert_close(longer.norm(dim=-1), torch.maximum(first.norm(dim=-1), second.norm(dim=-1)))
    for other in (second, second.double()):
        torch.testing.assert_close(mix_gradients(first, other, 0.25), 0.75 * first + 0.25 * second)


@pytest.mark.parametrize("density", [1, 2, 3])
def test_a_mask_takes_each_position_from_its_nearest_sample(density):
    first, second = signal_gradients(smooth(), density=density), signal_gradients(smooth().flip(1), density=density)
    mask = torch.rand(12, 16, generator=torch.Generator().manual_seed(0)) < 0.5
    where = torch.cartesian_prod(*gradient_axes((12, 16), density=density)) + 1e-4  # halfway is the sample after it
    nearest = torch.cdist(where, grid_coords((12, 16)).double()).argmin(1).view(first.shape[:2])
    expected = torch.where(mask.flatten()[nearest][..., None, None], second, first)
    torch.testing.assert_close(mix_gradients(first, second, mask), expected)


def test_mixes_that_make_no_sense_are_errors():
    first = signal_gradients(smooth())
    with pytest.raises(ValueError, match="of one shape"):
        mix_gradients(first, first[:5])
    for share in (1.5, torch.full((12, 16), -0.1)):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            mix_gradients(first, first, share)
    for shape in ((3, 3), (12,), (23, 16)):
        with pytest.raises(ValueError, match="a mask of the signal's samples"):
            mix_gradients(first, first, torch.zeros(shape))


@pytest.mark.slow
def test_an_image_comes_back_from_its_gradients():
    image = smooth((16, 16))
    learn = fitted(GradientDataLoaders.from_image(image, bs=128), 40)
    assert isinstance(learn, GradientLearner) and isinstance(learn.model, GradientOf)
    assert psnr(learn.render(), image) > 40
    torch.testing.assert_close(learn.render(clamp=None).mean((0, 1)), image.mean((0, 1)), rtol=0, atol=1e-5)
    assert learn.render(32).shape == (32, 32, 3) and psnr(learn.render(32), smooth((32, 32))) > 30


def test_a_curve_comes_back_from_its_gradients():
    time = grid_coords((256,))
    curve = 0.5 + 0.4 * (3 * time).sin()
    set_seed(0, reproducible=True)
    dls = GradientDataLoaders.from_gradients(signal_gradients(curve), curve.mean(), bs=64)
    learn = gradient_learner(dls, siren_model([1, 32, 32, 1], omega_0=5.0))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(20, 2e-3)
    assert psnr(learn.render(), curve) > 35 and learn.image_psnr() is None


def test_validation_and_predictions_work_and_train_nothing():
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64), 1)
    before = [p.detach().clone() for p in learn.model.parameters()]
    first, again = learn.validate(), learn.validate()
    assert first == again and all(map(torch.equal, before, learn.model.parameters()))
    predictions, targets = learn.get_preds()
    assert predictions.shape == targets.shape == (22 * 30, 6) and not predictions.requires_grad
    assert math.isclose((predictions - targets).square().mean(), first[0], rel_tol=1e-5)
    assert learn.predict([0.0, 0.0])[0].shape == (6,)


def test_the_metric_is_the_psnr_of_the_image():
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64), 2)
    assert learn.recorder.metric_names[1:4] == ["train_loss", "valid_loss", "psnr"]
    assert learn.recorder.values[-1][2] == learn.image_psnr() == psnr(learn.render(), smooth())


def test_an_exported_learner_renders_and_keeps_no_image(tmp_path):
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64, path=tmp_path), 1)
    learn.export("learn.pkl")
    loaded = load_learner(tmp_path / "learn.pkl")
    torch.testing.assert_close(loaded.render(), learn.render())
    assert loaded.image_psnr() is None and loaded.dls.image is None


def test_a_checkpoint_is_that_of_the_image(tmp_path):
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64), 2)
    checkpoint = load_checkpoint(save_checkpoint(learn, tmp_path / "image.safetensors"))
    assert checkpoint.size == (12, 16) and checkpoint.optimizer is None
    torch.testing.assert_close(checkpoint.render(), learn.render(), rtol=0, atol=1e-5)
    torch.testing.assert_close(checkpoint.render(30), learn.render(30), rtol=0, atol=1e-5)


def test_a_page_is_that_of_the_image(tmp_path):
    learn = fitted(GradientDataLoaders.from_image(smooth(), bs=64), 2)
    page = learn.to_html(tmp_path / "image.html", title="waves")
    data = learn.dls.train_ds.signal
    expected = page_html(learn.signal_network(), data.shape, "waves", psnr=learn.image_psnr())
    assert page.read_text(encoding="utf-8") == expected and f"{learn.image_psnr():.1f} dB" in expected
    volume = GradientDataLoaders.from_gradients(signal_gradients(torch.rand(3, 4, 5, 1)))
    with pytest.raises(ValueError, match="two axes, got 3"):
        gradient_learner(volume, [3, 8, 1]).to_html(tmp_path / "volume.html")


def test_the_signals_network_renders_as_the_learner_does():
    learn = fitted(GradientDataLoaders.from_gradients(signal_gradients(smooth()), mean=[0.2, 0.4, 0.6], bs=64), 1)
    values = learn.signal_network()(grid_coords((12, 16))).view(12, 16, 3)
    torch.testing.assert_close(values, learn.render(clamp=None), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.mean((0, 1)), torch.tensor([0.2, 0.4, 0.6]), rtol=0, atol=1e-4)


def test_results_are_drawn_with_the_truth_where_it_is_known():
    for dls, titles in (
        (GradientDataLoaders.from_image(smooth(), bs=64), ["target", "from gradients", "error"]),
        (GradientDataLoaders.from_gradients(signal_gradients(smooth())), ["from gradients"]),
    ):
        figure = gradient_learner(dls, [2, 8, 3]).show_results(max_n=4)
        assert [ax.get_title() for ax in figure.axes][: len(titles)] == titles
        plt.close(figure)


def test_a_batch_is_drawn_as_the_whole_field():
    field = signal_gradients(smooth(channels=1))
    figure = GradientDataLoaders.from_gradients(field).show_batch(figsize=(4, 2))
    for axis, ax in enumerate(figure.axes):
        assert ax.get_title() == f"gradient along axis {axis}"
        torch.testing.assert_close(torch.tensor(ax.images[0].get_array().data), field[..., 0, axis])
        assert ax.images[0].get_clim() == (-field.abs().max(), field.abs().max())
    plt.close(figure)


def test_a_network_that_has_no_bias_is_rendered_but_not_given_out(tmp_path):
    dls = GradientDataLoaders.from_image(smooth(channels=1), bs=64)
    learn = gradient_learner(dls, siren_model([2, 8, 1], final="sine"))
    assert math.isclose(learn.render(clamp=None).mean(), smooth(channels=1).mean(), abs_tol=1e-5)
    for refused in (learn.signal_network, lambda: save_checkpoint(learn, tmp_path / "no.safetensors")):
        with pytest.raises(ValueError, match="linear layer with a bias"):
            refused()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Hardtanh(-2, 0)])
def test_a_network_that_changes_its_last_layers_values_is_not_given_out(last, tmp_path):
    dls = GradientDataLoaders.from_image(smooth(channels=1), bs=64)
    learn = gradient_learner(dls, nn.Sequential(*siren_model([2, 8, 1]), last))
    for refused in (learn.signal_network, lambda: save_checkpoint(learn, tmp_path / "no.safetensors")):
        with pytest.raises(ValueError, match="the values of its last linear layer as they are"):
            refused()
    assert not list(tmp_path.iterdir())


def test_loaders_refuse_what_is_no_field_of_gradients():
    with pytest.raises(ValueError, match=r"\(\*positions, channels, axes\)"):
        GradientDataLoaders.from_gradients(smooth())
    with pytest.raises(ValueError, match="`mean` must be"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), mean=[0.5, 0.5])
    with pytest.raises(ValueError, match="`mean` must be finite"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), mean=math.nan)
    with pytest.raises(ValueError, match="regular grid"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), coords="line")
    with pytest.raises(TypeError, match="`off_grid` is an option for values"):
        GradientDataLoaders.from_image(smooth(), off_grid=True)
    with pytest.raises(ValueError, match="low below high"):
        GradientDataLoaders.from_gradients(signal_gradients(smooth()), value_range=(1, 0))


@pytest.mark.parametrize("value_range", [None, (-1.0, 1.0)])
def test_a_signal_is_clamped_to_its_own_range_only(value_range):
    field = 50 * signal_gradients(smooth(channels=1))
    learn = gradient_learner(GradientDataLoaders.from_gradients(field, mean=-3.0, value_range=value_range))
    values = learn.render(clamp=None)
    assert values.max() < 0 and (values < -1).any()
    assert torch.equal(learn.render(), values if value_range is None else values.clamp(*value_range))


def test_learners_refuse_other_loaders_and_other_networks():
    with pytest.raises(TypeError, match="GradientDataLoaders"):
        gradient_learner(PixelDataLoaders.from_image(smooth()))
    dls = GradientDataLoaders.from_image(smooth())
    with pytest.raises(ValueError, match="from 2 coordinates to 3 channels"):
        gradient_learner(dls, [2, 8, 1])
    with pytest.raises(ValueError, match="give 6 channels"):
        gradient_learner(dls, nn.Linear(2, 2))
