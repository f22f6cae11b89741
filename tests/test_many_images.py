"""Many images in one Learner: each network is what it would be alone, whatever the sizes of the others."""

import copy
import math

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import picture, quiet

from siren_fastai.analysis.history import read_history
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.stacked import StackDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.images import save_image
from siren_fastai.learner import siren_learner
from siren_fastai.locks import LOCK, lock_folder
from siren_fastai.stacks.learner import stack_learner

pytestmark = pytest.mark.numerics

SIZES = {
    "one size": [(10, 9), (10, 9), (10, 9)],
    "turned": [(10, 9), (9, 10)],
    "three sizes": [(12, 10), (7, 9), (10, 12)],
    "very different": [(16, 16), (3, 4)],
}
WIDTHS = [2, 12, 10, 3]


def images(sizes, channels=3):
    return [picture(*size, channels) if i % 2 else 1 - picture(*size, channels) for i, size in enumerate(sizes)]


def loaders(sizes, seed=0, **options):
    set_seed(seed, reproducible=True)
    return PixelDataLoaders.from_images(images(sizes), **{"bs": 32} | options)


@pytest.fixture
def folder(tmp_path):
    for name, image in zip(("b cat", "a", "c"), images([(10, 9), (8, 12), (9, 9)]), strict=True):
        save_image(torch.as_tensor(image), tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    "options", [{}, {"order": "hilbert"}, {"valid": 0.2}, {"repeat": 2}, {"off_grid": True}], ids=str
)
def test_each_image_is_fitted_as_it_would_be_alone(kind, options):
    options = options | ({"bs": 256} if kind == "very different" else {})
    dls = loaders(SIZES[kind], **options)
    models = [fast_model(each, WIDTHS[1:-1]) for each in dls.fits]
    alone = [copy.deepcopy(each) for each in dls.fits]
    learn = quiet(stack_learner(dls, models, lr=2e-3))
    learn.fit_fast(3)
    for i, (own, model) in enumerate(zip(alone, models, strict=True)):
        single = quiet(siren_learner(own, model, lr=2e-3, cbs=MetricHistory()))
        single.fit_fast(3)
        ours, theirs = learn.stack_history.to_frame(i), single.metric_history.to_frame()
        for column in ("epoch", "opt_steps", "samples_seen"):
            assert list(ours[column]) == list(theirs[column])
        np.testing.assert_allclose(ours.psnr, theirs.psnr, atol=0.01)
        np.testing.assert_allclose(ours.valid_loss, theirs.valid_loss, rtol=1e-3)
        np.testing.assert_allclose(ours.train_loss, theirs.train_loss, rtol=1e-3)
        torch.testing.assert_close(learn.render(i), single.render(), rtol=1e-3, atol=1e-3)


def test_batches_are_those_of_each_loader_and_padding_is_marked():
    together, one_by_one = loaders(SIZES["three sizes"]).train, loaders(SIZES["three sizes"]).fits
    assert together.padded and len(together) == 4
    for _ in range(2):
        for (x, y), *own in zip(together, *(dls.train for dls in one_by_one), strict=True):
            for i, (coords, values) in enumerate(own):
                assert torch.equal(x[: len(coords), i], coords) and torch.equal(y[: len(values), i], values)
                assert not x[len(coords) :, i].any() and y[len(values) :, i].isnan().all()


def test_images_of_one_size_are_not_padded_and_turned_ones_neither():
    for kind in ("one size", "turned"):
        dls = loaders(SIZES[kind])
        assert dls.padding == 0 and not dls.train.padded
        assert not any(y.isnan().any() for _, y in dls.train)


def test_padding_is_the_share_of_samples_that_the_smaller_images_lack():
    assert loaders([(16, 16), (8, 16)], bs=64).padding == 0.25


def test_padding_takes_part_in_no_gradient():
    dls = loaders(SIZES["three sizes"])
    learn = quiet(stack_learner(dls, WIDTHS))
    x, y = dls.train.one_batch()
    learn.loss_func(learn.model(x), y).backward()
    before = [p.grad.clone() for p in learn.model.parameters()]
    learn.model.zero_grad()
    learn.loss_func(learn.model(torch.where(y[..., :1].isnan(), 0.7, x)), y).backward()
    for grad, parameter in zip(before, learn.model.parameters(), strict=True):
        assert grad.isfinite().all()
        torch.testing.assert_close(parameter.grad, grad)


def test_a_folder_is_fitted_rendered_and_saved_by_the_names_of_its_files(folder, tmp_path):
    dls = PixelDataLoaders.from_images(folder, bs=40)
    assert dls.names == ["a", "b_cat", "c"] and "3 signals of" in repr(dls)
    learn = quiet(stack_learner(dls, WIDTHS))
    learn.fit_fast(2)
    assert learn.render("a").shape == (8, 12, 3) and learn.render(-1, size=18).shape == (18, 18, 3)
    paths = learn.save_fields(tmp_path / "fields")
    assert [path.name for path in paths] == ["a.safetensors", "b_cat.safetensors", "c.safetensors"]
    for name, path in zip(dls.names, paths, strict=True):
        field = load_checkpoint(path)
        torch.testing.assert_close(field.render(), learn.render(name))
        assert field.epoch == 2
        history = read_history(path.with_suffix(".csv"))
        np.testing.assert_allclose(history["train_psnr (db)"], learn.stack_history.to_frame(dls.names.index(name)).psnr)


def test_saved_files_are_not_replaced_unasked(folder, tmp_path):
    learn = quiet(stack_learner(PixelDataLoaders.from_images(folder), WIDTHS))
    target = tmp_path / "fields"
    target.mkdir()
    (target / "c.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="holds c.csv already"):
        learn.save_fields(target)
    assert [path.name for path in target.iterdir()] == ["c.csv"]
    learn.save_fields(target, overwrite=True)
    assert load_checkpoint(target / "c.safetensors").size == (9, 9)
    assert (target / "c.csv").read_text() == "mine"  # nothing was trained, so there is no history to write


@pytest.mark.parametrize(
    "names", [["a", "a", "b"], ["a", "b"], ["a", "b", "c", "d"], ["", "a", "b"], [1, 2, 3], ["a/b", "a", "b"]]
)
def test_names_that_would_lose_a_network_are_errors(folder, tmp_path, names):
    learn = quiet(stack_learner(PixelDataLoaders.from_images(folder), WIDTHS))
    learn.dls.names = names
    with pytest.raises(ValueError, match="3 different names, one for each network|can't be one"):
        learn.save_fields(tmp_path / "fields")
    assert not (tmp_path / "fields").exists()


@pytest.mark.filterwarnings("ignore:load_learner")
def test_an_exported_stack_renders_saves_and_trains_again(folder, tmp_path):
    learn = quiet(stack_learner(PixelDataLoaders.from_images(folder, path=tmp_path), WIDTHS))
    learn.export("stack.pkl")
    assert len(learn.dls.train) and "3 signals of" in repr(learn.dls)
    loaded = quiet(load_learner(tmp_path / "stack.pkl"))
    assert loaded.names == learn.names and loaded.dls.padding == 0
    torch.testing.assert_close(loaded.render("c", size=12), learn.render("c", size=12))
    assert load_checkpoint(loaded.save_fields(tmp_path / "fields")[0]).size == (8, 12)
    loaded.dls = learn.dls
    loaded.fit_fast(1)


def test_two_processes_do_not_write_to_one_folder(folder, tmp_path):
    learn = quiet(stack_learner(PixelDataLoaders.from_images(folder), WIDTHS))
    target = tmp_path / "fields"
    target.mkdir()
    with lock_folder(target), pytest.raises(BlockingIOError, match="another process is writing"):
        learn.save_fields(target)
    assert [path.name for path in target.iterdir()] == [LOCK]
    assert len(learn.save_fields(target)) == 3


def test_images_of_one_name_get_names_of_their_own():
    fits = loaders([(8, 8)] * 3).fits
    assert StackDataLoaders(fits, ["a", "a", "a_2"]).names == ["a", "a_2", "a_2_2"]
    assert loaders([(8, 8)] * 2).names == ["image_0", "image_1"]


def test_the_default_network_is_the_one_of_a_single_image():
    dls = loaders(SIZES["turned"])
    set_seed(5)
    learn = stack_learner(dls)
    set_seed(5)
    for network, own in zip(learn.networks, dls.fits, strict=True):
        for ours, theirs in zip(network.parameters(), fast_model(own).parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_number_of_batches_outlives_a_copy_unless_the_batch_size_is_another():
    fits = loaders([(16, 16), (9, 9)]).fits
    small = fits[1].train
    assert len(small) == len(fits[0].train) == 8 and len(small.new()) == 8
    assert len(small.new(bs=81)) == 1
    assert len(fits[1].test_dl(torch.zeros(40, 2))) == 1


def test_predictions_of_padded_images_are_those_of_each_network():
    learn = quiet(stack_learner(loaders(SIZES["three sizes"]), WIDTHS))
    predictions, targets = learn.get_preds()
    for i, dls in enumerate(learn.dls.fits):
        known = ~targets[:, i, 0].isnan()
        assert known.sum() == math.prod(dls.train_ds.shape)
        torch.testing.assert_close(targets[known, i], dls.train_ds.values)
        torch.testing.assert_close(predictions[known, i], learn.networks[i](dls.train_ds.coords).detach())


def damaged(folder):
    (folder / "d.png").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: PixelDataLoaders.from_images(damaged(f)), ValueError, "d.png can't be read as an image: no format"),
        (lambda f: PixelDataLoaders.from_images(f / "none"), FileNotFoundError, "isn't a folder"),
        (lambda f: PixelDataLoaders.from_images([]), ValueError, "holds no images"),
        (lambda f: PixelDataLoaders.from_images(picture(), bs=0), ValueError, "`bs` must be an integer of 1"),
        (
            lambda f: PixelDataLoaders.from_images([picture(), picture(channels=1)]),
            ValueError,
            "image 0 has 3 channels and image 1 has 1: choose `mode`",
        ),
        (lambda f: loaders([(20, 20), (2, 2)], bs=16), ValueError, "signal 1 has 4 samples, fewer than the 25 batches"),
        (lambda f: siren_learner(loaders([(8, 8)] * 2)), TypeError, r"2 signals.*use `stack_learner\(dls\)`"),
        (lambda f: stack_learner(loaders([(8, 8)] * 2), [2, 8, 1]), ValueError, "to 3 channels"),
        (lambda f: stack_learner(loaders([(8, 8)] * 2), WIDTHS).render(2), IndexError, "there are 2 networks"),
        (lambda f: stack_learner(loaders([(8, 8)] * 2), WIDTHS).render("cat"), KeyError, "names are"),
        (lambda f: stack_learner(loaders([(8, 8)] * 2).fits[0], WIDTHS), ValueError, "`models` must list the networks"),
        (lambda f: StackDataLoaders(loaders([(8, 8)] * 2).fits, ["a"]), ValueError, "one for each of the 2 signals"),
    ],
)
def test_what_is_wrong_is_named(folder, call, error, message):
    with pytest.raises(error, match=message):
        call(folder)


def test_a_number_of_batches_does_not_go_with_drop_last():
    with pytest.raises(ValueError, match="`n_batches` leaves no remainder"):
        loaders([(8, 8)]).fits[0].train.new(n_batches=3, drop_last=True)


def drawn(axes):
    """What is shown: the title and the pixels of each axis that is visible, in the order of drawing."""
    shown = [ax for ax in axes if ax.get_visible()]
    return [ax.get_title() for ax in shown], [np.asarray(ax.images[0].get_array())[..., :3] for ax in shown]


def test_results_are_drawn_as_targets_above_reconstructions_with_name_and_psnr(folder):
    learn = quiet(stack_learner(PixelDataLoaders.from_images(folder, bs=40), WIDTHS))
    learn.fit_fast(2)
    figure = learn.show_results(max_n=2)
    titles, pixels = drawn(figure.axes)
    levels = [learn.stack_history.to_frame(i).psnr.iloc[-1] for i in range(2)]
    assert titles == [f"a\n{levels[0]:.1f} dB", f"b_cat\n{levels[1]:.1f} dB", "", ""]
    for i, dls in enumerate(learn.dls.fits[:2]):
        np.testing.assert_array_equal(pixels[i], dls.train_ds.to_picture(dls.train_ds.values))
        np.testing.assert_array_equal(pixels[2 + i], learn.render(i))
    assert [figure.axes[i].get_ylabel() for i in (0, 2)] == ["target", "reconstruction"]


def test_results_are_wrapped_into_rows_of_pairs():
    learn = quiet(stack_learner(loaders([(4, 4)] * 4, bs=16), WIDTHS))
    figure = learn.show_results(columns=3, figsize=(3, 3))
    titles, _ = drawn(figure.axes)
    assert [title[:7] for title in titles] == ["image_0", "image_1", "image_2", "", "", "", "image_3", ""]
    assert len(figure.axes) == 12 and tuple(figure.get_size_inches()) == (3, 3)


def test_results_with_a_mask_show_what_is_known_above_the_whole():
    known = np.ones((8, 8), bool)
    known[2:4, 3:6] = False
    learn = quiet(stack_learner(loaders([(8, 8)] * 2, mask=known), WIDTHS))
    _, pixels = drawn(learn.show_results().axes)
    shown = learn.show_results().axes[0].images[0].get_array()[..., 3]
    np.testing.assert_array_equal(shown == 1, known)
    np.testing.assert_array_equal(pixels[2], learn.render(0))


def test_results_without_a_value_range_have_no_psnr_and_sounds_their_snr():
    set_seed(0, reproducible=True)
    plain = PixelDataLoaders.from_array(3 * picture(6, 6) - 1, bs=20)
    learn = quiet(stack_learner(plain, [fast_model(plain, [8]) for _ in range(2)]))
    assert drawn(learn.show_results().axes)[0] == ["signal_0", "signal_1", "", ""]
    sounds = [PixelDataLoaders.from_audio(np.sin(np.arange(200) / n), 100) for n in (3, 5)]
    learn = quiet(stack_learner(StackDataLoaders(sounds, ["low", "high"])))
    learn.fit_fast(2)
    snr = siren_learner(sounds[0], learn.networks[0]).validate()[1]
    assert learn.show_results().axes[0].get_title() == f"low\n{snr:.1f} dB"


@pytest.mark.parametrize("kind", SIZES)
def test_a_batch_is_drawn_as_the_networks_get_it(kind):
    bs = 256 if kind == "very different" else 32
    shown, own = loaders(SIZES[kind], bs=bs), loaders(SIZES[kind], bs=bs)
    figure = shown.show_batch(max_n=2)
    titles, pixels = drawn(figure.axes)
    assert titles == ["image_0", "image_1", "", ""]
    x, y = own.train.one_batch()
    for i, dls in enumerate(own.fits[:2]):
        rows = ~y[:, i, 0].isnan()
        batch = dls.train.place(x[rows, i], y[rows, i])
        assert (~batch[..., 0].isnan()).sum() == rows.sum()
        np.testing.assert_array_equal(pixels[i], batch.nan_to_num())
        np.testing.assert_array_equal(pixels[2 + i], dls.train_ds.to_picture(dls.train_ds.values))


def test_no_signal_to_draw_is_an_error():
    dls = loaders([(4, 4)] * 2, bs=16)
    for call in (dls.show_batch, quiet(stack_learner(dls, WIDTHS)).show_results):
        with pytest.raises(ValueError, match="`max_n` must be an integer of 1 or more, got 0"):
            call(max_n=0)
