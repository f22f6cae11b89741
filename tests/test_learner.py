"""The learner: fastai's methods on pixels, rendering, results, and the same training as a plain loop."""

import inspect
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import CutMix, MixUp
from fastai.callback.schedule import minimum
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.interpret import Interpretation
from fastai.learner import Learner, load_learner
from fastai.test_utils import VerboseCallback
from learners import picture, pixel_learner, quiet, same, weights
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.metrics import PSNR
from siren_fastai.models.siren import siren_model

pytestmark = pytest.mark.numerics


def drawn():
    """The images of the last figure, by title."""
    return {ax.get_title(): np.asarray(ax.images[0].get_array()) for ax in plt.gcf().axes if ax.get_title()}


def test_a_default_fit_reconstructs_a_picture(tmp_path):
    dls = PixelDataLoaders.from_image(picture(24, 20), path=tmp_path, bs=128)
    learn = siren_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(40)
    assert peak_signal_noise_ratio(picture(24, 20), learn.render().numpy(), data_range=1) > 30


@pytest.mark.parametrize("hidden", [(256, 256, 256), (32, 16)])
def test_the_fast_network_starts_at_the_mean_with_the_hidden_widths_asked_for(tmp_path, hidden):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    model = fast_model(dls, hidden)
    assert [p.shape[0] for p in model.parameters() if p.dim() == 2] == [*hidden, 3]
    torch.testing.assert_close(model[-1].bias.detach(), dls.train_ds.values.mean(0))


@pytest.mark.parametrize("shape", [(64, 2), (8, 6, 3), (4, 5, 3, 1), (1, 1, 3)])
def test_signals_of_any_dimension_fit_and_render(tmp_path, shape):
    values = np.random.default_rng(0).random(shape)
    learn = siren_learner(
        PixelDataLoaders.from_array(values, path=tmp_path), siren_model([len(shape) - 1, 8, shape[-1]])
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert learn.render().shape == shape
    assert learn.render(size=(3,) * (len(shape) - 1)).shape == (*(3,) * (len(shape) - 1), shape[-1])


IMAGE_FREQUENCY = 270 / 256  # rad per unit, for each sample along an axis


def first_frequencies(model):
    """The greatest frequency of the first layer, in rad per unit."""
    return float(model[0].omega_0 * model[0].linear.weight.detach().norm(dim=1).max())


@pytest.mark.parametrize(
    "shape, greatest",
    [
        ((32000, 1), 0.05 * np.pi * 32000),
        ((64, 1), 90),
        ((40, 40, 1), 40 * IMAGE_FREQUENCY),
        ((20, 80, 1), 80 * IMAGE_FREQUENCY),
        ((4, 20, 20, 1), 20 * IMAGE_FREQUENCY),
    ],
)
def test_the_default_frequencies_follow_the_samples_along_each_axis(tmp_path, shape, greatest):
    dls = PixelDataLoaders.from_array(np.zeros(shape, np.float32), path=tmp_path)
    learn = siren_learner(dls, siren_model([len(shape) - 1, 256, 1]), cbs=ApplyInit("fast"))
    for model in (fast_model(dls), learn.model):
        assert 0.8 * greatest < first_frequencies(model) <= greatest * (1 + 1e-5)


def test_a_default_fit_hears_a_chirp(tmp_path):
    """A quarter of a second from 50 Hz to 1 kHz; the scheme for images, without the signal, reaches 13 dB."""
    seconds = np.arange(2000) / 8000
    sound = (0.8 * np.sin(2 * np.pi * (50 * seconds + 1900 * seconds**2))).astype(np.float32)
    dls = PixelDataLoaders.from_array(sound[:, None], value_range=(-1, 1), path=tmp_path)
    learn = quiet(siren_learner(dls, [1, 64, 64, 1]))
    learn.fit_fast(40)
    assert learn.validate()[1] > 18


@pytest.mark.parametrize(
    "values, coords, samples",
    [
        ((6, 24, 3), "centers", (6, 24)),
        ((6, 24, 3), "line", (144,)),
        ((4, 9, 1), torch.zeros(36, 3), (6, 6, 6)),
        ((64, 3), torch.zeros(64, 2), (8, 8)),
    ],
)
def test_the_samples_along_each_coordinate(tmp_path, values, coords, samples):
    data = PixelDataLoaders.from_array(np.zeros(values, np.float32), coords=coords, path=tmp_path).train_ds
    assert data.axis_samples == pytest.approx(samples)
    assert data.subset(torch.arange(3)).axis_samples == data.axis_samples


def test_lr_find_also_suggests_twice_the_valley(tmp_path):
    learn = pixel_learner(tmp_path)
    suggested = learn.lr_find(num_it=30, show_plot=False)
    assert suggested.twice_valley == pytest.approx(2 * suggested.valley)
    assert learn.lr_find(num_it=30, show_plot=False, suggest_funcs=minimum)._fields == ("minimum",)
    learn.lr_find(num_it=30)
    assert [text.get_text() for text in plt.gca().get_legend().get_texts()] == ["valley", "twice_valley"]


def test_training_equals_a_plain_loop_over_the_same_batches(tmp_path):
    """50 steps of Adam in fastai and by hand give the same losses."""
    batches, losses = [], []

    class Spy(Callback):
        def after_loss(self):
            if self.training:
                batches.append((self.xb[0].clone(), self.yb[0].clone()))
                losses.append(self.loss.item())

    learn = pixel_learner(tmp_path, moms=(0.9, 0.9, 0.9))
    model = siren_model([2, 16, 16, 3])
    model.load_state_dict(learn.model.state_dict())
    learn.fit(17, 1e-3, cbs=Spy())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    assert len(batches) == len(losses) >= 50
    for (coords, values), expected in zip(batches[:50], losses[:50], strict=True):
        loss = (model(coords) - values).square().mean()
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_fastais_methods_work(tmp_path, capsys):
    learn = pixel_learner(tmp_path, metrics=PSNR())
    assert learn.lr_find(num_it=4, show_plot=False).valley > 0
    learn.fit_flat_cos(1, 1e-3)
    preds, targets = learn.get_preds()
    assert preds.shape == targets.shape == (120, 3)
    assert torch.equal(targets, torch.as_tensor(picture().reshape(-1, 3)))
    torch.testing.assert_close(learn.get_preds(ds_idx=0)[1], targets)  # a shuffled loader is put back in order
    loss, value = learn.validate()
    assert value == pytest.approx(
        peak_signal_noise_ratio(picture(), preds.view(12, 10, 3).clamp(0, 1).numpy(), data_range=1)
    )
    assert "Total params: 371" in str(learn.summary())
    learn.show_results()
    learn.save("fitted")
    learn.load("fitted")


def test_the_training_loop_is_shown_with_the_callbacks_of_each_event(tmp_path, capsys):
    learn = pixel_learner(tmp_path)
    learn.show_training_loop()
    shown = capsys.readouterr().out
    learn.__class__ = Learner
    learn.show_training_loop()
    assert shown == capsys.readouterr().out and "- after_epoch    : [Recorder]" in shown


@pytest.mark.parametrize(
    "function, behind",
    [
        (siren_learner, ("loss_func", "cbs", "path", "splitter")),
        (PixelLearner.render, ("chunk",)),
        (PixelLearner.show_results, ("figsize", "height")),
        (PixelLearner.fit_fast, ("div", "moms", "cbs", "start_epoch")),
    ],
)
def test_signatures_show_the_arguments_that_are_passed_on(function, behind):
    assert set(behind) <= set(inspect.signature(function).parameters)
    assert not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


@pytest.mark.filterwarnings("ignore:.*CUDA is not available.*:UserWarning")
def test_mixed_precision_can_be_asked_for(tmp_path):
    learn = pixel_learner(tmp_path).to_fp16()
    learn.fit(1, 1e-3)
    assert all(v.isfinite().all() for v in weights(learn).values())


def test_an_exported_learner_renders_the_same_picture(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.fit(1, 1e-3)
    learn.export("fit.pkl")
    loaded = load_learner(tmp_path / "fit.pkl")
    assert torch.equal(loaded.render(), learn.render()) and torch.equal(loaded.render(20), learn.render(20))
    assert len(loaded.dls.train_ds) == 0


def test_rendering_at_the_datas_size_is_what_validation_saw(tmp_path):
    for coords in ("centers", "corners", "left"):
        learn = pixel_learner(tmp_path, coords=coords)
        learn.fit(1, 1e-3)
        expected = learn.get_preds()[0].view(12, 10, 3).clamp(0, 1)
        torch.testing.assert_close(learn.render(), expected, atol=1e-6, rtol=0)


def test_coordinates_without_a_grid_are_rendered_at_the_datas_positions(tmp_path):
    learn = pixel_learner(tmp_path, dims=(1, 16, 3), coords="line")
    learn.fit(1, 1e-3)
    raw = learn.get_preds()[0].view(12, 10, 3)
    assert torch.equal(learn.render(), raw.clamp(0, 1)) and torch.equal(learn.render(clamp=None), raw)
    with pytest.raises(ValueError, match="own positions"):
        learn.render(size=20)


@pytest.mark.parametrize("options", [dict(order="hilbert"), dict(repeat=2), dict(off_grid=True)])
def test_results_of_any_loader_are_drawn_at_their_pixels(tmp_path, options):
    learn = siren_learner(PixelDataLoaders.from_image(picture(), path=tmp_path, **options), siren_model([2, 8, 3]))
    with learn.no_bar():
        learn.show_results(ds_idx=0)
    np.testing.assert_allclose(drawn()["reconstruction"][..., :3], learn.render(), atol=1e-6)


def test_a_whole_number_renders_the_proportions_of_the_data(tmp_path):
    learn = pixel_learner(tmp_path)  # 12 x 10
    assert learn.render(20).shape == (24, 20, 3) and learn.render((20, 20)).shape == (20, 20, 3)
    with pytest.raises(ValueError, match="`size` must be an integer of at least 1"):
        learn.render(0)


def test_left_out_samples_stay_empty_in_the_results(tmp_path):
    learn = pixel_learner(tmp_path, valid=0.25)
    learn.fit(1, 1e-3)
    assert learn.render().isfinite().all()
    learn.show_results()
    for name in ("target", "reconstruction"):
        transparent = drawn()[name][..., 3] == 0
        assert transparent.sum() == 90


def test_events_are_fastais(tmp_path, capsys):
    learn = pixel_learner(tmp_path, bs=1000)
    learn.fit(1, 1e-3, cbs=VerboseCallback())
    ours = capsys.readouterr().out.split()
    learn.__class__ = Learner
    learn.fit(1, 1e-3, cbs=VerboseCallback())
    assert ours == capsys.readouterr().out.split() and ours.count("before_batch") == 2
    with pytest.raises(Exception, match="missing typo"):
        pixel_learner(tmp_path)("typo")


def test_callbacks_of_an_interrupted_fit_are_not_heard_again(tmp_path):
    class Interrupt(Callback):
        seen = 0

        def after_batch(self):
            self.seen += 1
            raise KeyboardInterrupt("by hand")

    learn, interrupt = pixel_learner(tmp_path), Interrupt()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 1e-3, cbs=interrupt)
    learn.fit(1, 1e-3)
    learn.validate()
    assert interrupt.seen == 1 and interrupt not in list(learn.cbs) and interrupt.learn is None


def test_fit_one_cycle_is_fastais_and_fit_fast_only_warms_up_sooner(tmp_path):
    assert PixelLearner.fit_one_cycle is Learner.fit_one_cycle
    learn = pixel_learner(tmp_path)
    peaks = []
    for fit in (learn.fit_one_cycle, learn.fit_fast, partial(learn.fit_fast, pct_start=0.5)):
        fit(20, 2e-3)
        rates = learn.recorder.hps["lr"]
        assert max(rates) == pytest.approx(2e-3) and len(rates) == 20 * len(learn.dls.train)
        peaks.append(np.argmax(rates) / len(rates))
    assert peaks == pytest.approx([0.25, 0.1, 0.5], abs=0.02)


def test_it_trains_as_a_plain_fastai_learner_does(tmp_path):
    ours = pixel_learner(tmp_path)
    plain = pixel_learner(tmp_path)
    plain.__class__ = Learner
    for learn in (ours, plain):
        learn.fit(2, 1e-3)
    assert same(weights(ours), weights(plain))


@pytest.mark.parametrize(
    "values, value_range",
    [
        (picture(), (0.0, 1.0)),
        (picture() * 2 - 1, (-1.0, 1.0)),
        (picture() * 9 - 3, (-3.5, 6.0)),
    ],
)
def test_the_default_metric_rendering_and_drawing_agree_in_the_datas_range(tmp_path, values, value_range):
    low, high = value_range
    model = siren_model([2, 16, 3])
    with torch.no_grad():
        model[-1].weight.mul_(40 * (high - low))  # predictions leave the range on both sides
        model[-1].bias.fill_((low + high) / 2)
    learn = quiet(siren_learner(PixelDataLoaders.from_array(values, path=tmp_path, value_range=value_range), model))
    raw = learn.render(clamp=None).numpy()
    clamped = learn.render().numpy()
    assert raw.min() < low and raw.max() > high
    np.testing.assert_allclose(clamped, raw.clip(low, high), rtol=1e-6)
    expected = peak_signal_noise_ratio(values.astype(np.float64), clamped.astype(np.float64), data_range=high - low)
    assert learn.validate()[1] == pytest.approx(expected, abs=1e-3)
    learn.show_results(figsize=(9, 3))
    target, reconstruction, error = drawn().values()
    assert plt.gcf().get_size_inches().tolist() == [9, 3]
    np.testing.assert_allclose(target[..., :3], (values - low) / (high - low), atol=1e-5)
    np.testing.assert_allclose(reconstruction[..., :3], (clamped - low) / (high - low), atol=1e-5)
    np.testing.assert_allclose(error, abs(clamped - values).mean(-1), rtol=1e-3, atol=1e-5)


def test_a_model_on_other_loaders_has_the_loss_as_its_only_metric(tmp_path):
    loader = DataLoader([(torch.rand(2), torch.rand(3)) for _ in range(4)], bs=2)
    learn = siren_learner(DataLoaders(loader, loader, path=tmp_path), siren_model([2, 8, 3]), loss_func=nn.MSELoss())
    assert len(learn.metrics) == 0


def test_an_integer_is_the_shorter_side_of_the_region(tmp_path):
    learn = pixel_learner(tmp_path)  # 12 x 10
    assert learn.render(20, region=(-1, -1, 0, 1)).shape == (20, 33, 3)  # 6 x 10 pixels
    assert learn.render(20, region=(-1, -1, 1, 0)).shape == (48, 20, 3)  # 12 x 5 pixels
    whole, part = learn.render(), learn.render(region=(-1, 0, 0, 1))
    torch.testing.assert_close(part, whole[:6, 5:], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="`region`"):
        learn.render(20, region=(0, 0, 0, 1))


def test_a_position_is_predicted_as_fastais_triple(tmp_path):
    learn = pixel_learner(tmp_path)
    with torch.no_grad():
        learn.model[-1].bias.fill_(5.0)
    for item in ((0.1, -0.4), torch.tensor([0.1, -0.4]), np.array([0.1, -0.4])):
        decoded, clamped, raw = learn.predict(item)
        torch.testing.assert_close(raw, learn.model(torch.tensor([[0.1, -0.4]]))[0].detach())
        assert decoded.tolist() == clamped.tolist() == [1, 1, 1] and raw.min() > 3
    assert learn.predict((0.1, -0.4), with_input=True)[0].tolist() == pytest.approx([0.1, -0.4])
    learn.export("fit.pkl")
    with learn.no_bar():
        assert torch.equal(quiet(load_learner(tmp_path / "fit.pkl")).predict((0.1, -0.4))[2], raw)


@pytest.mark.parametrize("item", ["cat.png", 3, (0.1, 0.2, 0.3), torch.zeros(5, 2), picture()])
def test_predict_of_anything_but_a_position_says_what_to_call(tmp_path, item):
    with pytest.raises(ValueError, match=r"one position of 2 numbers.*learn\.model\(coords\)"):
        pixel_learner(tmp_path).predict(item)


def test_get_preds_returns_the_loss_of_each_sample(tmp_path):
    learn = pixel_learner(tmp_path)
    preds, targets, losses = learn.get_preds(with_loss=True)
    torch.testing.assert_close(losses, (preds - targets).square().mean(1))


@pytest.mark.parametrize("model", [siren_model([3, 8, 3]), siren_model([2, 8, 1]), [2, 8, 1], [3, 8, 3]])
def test_a_network_of_other_widths_than_the_data_is_refused_before_training(tmp_path, model):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    with pytest.raises(ValueError, match="`model` must .*2 coordinates.* 3 channels"):
        siren_learner(dls, model)


def loss_of_half(output, target):
    return (output[:, :3] - target).square().mean()


def test_a_loss_of_ones_own_may_take_other_outputs(tmp_path):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    learn = siren_learner(dls, siren_model([2, 8, 6]), metrics=[], loss_func=loss_of_half)
    quiet(learn).fit(1)
    assert np.isfinite(learn.recorder.values[-1][0])


def test_widths_alone_make_the_default_network(tmp_path):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    torch.manual_seed(0)
    ours = siren_learner(dls, [2, 64, 3]).model
    torch.manual_seed(0)
    expected = fast_model(dls, [64])
    assert same(ours.state_dict(), expected.state_dict())
    with pytest.raises(ValueError, match="at least two"):
        siren_learner(dls, [2])


def test_checking_the_widths_leaves_the_network_as_it_is(tmp_path):
    dls = PixelDataLoaders.from_image(picture(), path=tmp_path)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    learn = siren_learner(dls, model)
    assert same(before, learn.model.state_dict()) and torch.equal(state, torch.get_rng_state())
    assert learn.model.training and learn.model[2].training


@pytest.mark.parametrize("mix", [MixUp, CutMix])
def test_mixing_positions_is_refused(tmp_path, mix):
    for callback in (mix, mix()):
        with pytest.raises(ValueError, match=f"`{mix.__name__}` mixes inputs"):
            pixel_learner(tmp_path, cbs=callback)
    with pytest.raises(ValueError, match=f"`{mix.__name__}` mixes inputs"):
        pixel_learner(tmp_path).fit(1, cbs=mix())


def test_what_needs_images_one_by_one_says_so(tmp_path):
    learn = pixel_learner(tmp_path)
    with pytest.raises(TypeError, match="`tta` averages"):
        learn.tta()
    with pytest.raises(AttributeError, match="draws the error of all samples"):
        Interpretation.from_learner(learn).plot_top_losses(3)


def test_results_of_a_loaded_learner_need_samples(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.export("fit.pkl")
    loaded = quiet(load_learner(tmp_path / "fit.pkl"))
    with pytest.raises(ValueError, match="no samples to compare with"):
        loaded.show_results()
    loaded.show_results(dl=learn.dls.valid)
    np.testing.assert_allclose(drawn()["reconstruction"][..., :3], learn.render(), atol=1e-6)


def test_a_loaded_learner_trains_once_it_has_samples_again(tmp_path):
    learn = pixel_learner(tmp_path)
    learn.export("fit.pkl")
    loaded = quiet(load_learner(tmp_path / "fit.pkl"))
    for fit in (partial(loaded.fit, 1), partial(loaded.fit_fast, 1), loaded.lr_find):
        with pytest.raises(ValueError, match="set `learn.dls`"):
            fit()
    loaded.dls = learn.dls
    before = weights(loaded)["0.linear.weight"].clone()
    loaded.fit(1, 1e-3)
    assert not torch.equal(weights(loaded)["0.linear.weight"], before)


def test_results_of_four_dimensions_are_drawn_by_the_slices_of_their_middle_volume(tmp_path):
    values = np.random.default_rng(0).random((3, 4, 5, 6, 1)).astype(np.float32)
    learn = quiet(siren_learner(PixelDataLoaders.from_array(values, path=tmp_path), siren_model([4, 8, 1])))
    learn.show_results()
    shown = drawn()["target"]
    corners = [shown[top : top + 5, left : left + 6] for top in (0, 6) for left in (0, 7)]
    np.testing.assert_allclose(corners, values[1, ..., 0])
