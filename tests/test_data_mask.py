"""Loaders with a mask: only known samples are trained on, the rest isn't read, and the whole signal is rendered."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import quiet

from siren_fastai.coords import pixel_order
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model


def numbered(*shape):
    """A signal of one channel whose values are the samples' own numbers."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(*shape, 1)


def some(*shape, share=0.7, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def seen(loader):
    """The numbers of the samples that a loader visits, sorted."""
    return sorted(int(value) for _, values in loader for value in values)


@pytest.mark.parametrize("shape", [(40,), (7, 9), (3, 4, 5)])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_only_known_samples_are_trained_on_in_any_number_of_dimensions(shape, kind):
    mask = some(*shape)
    dls = PixelDataLoaders.from_array(numbered(*shape), mask=kind(mask), valid="all", bs=8)
    assert seen(dls.train) == seen(dls.valid) == np.flatnonzero(mask).tolist()


def test_a_twentieth_of_the_known_samples_validates_by_default():
    mask = some(20, 20)
    dls = PixelDataLoaders.from_array(numbered(20, 20), mask=mask)
    train, valid = seen(dls.train), seen(dls.valid)
    assert sorted(train + valid) == np.flatnonzero(mask).tolist() and len(valid) == round(mask.sum() / 20)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_known_samples_are_enough(count):
    mask = np.zeros((4, 4), bool)
    mask.flat[:count] = True
    dls = PixelDataLoaders.from_array(numbered(4, 4), mask=mask)
    assert set(seen(dls.train) + seen(dls.valid)) == set(range(count)) and len(seen(dls.train)) == max(1, count - 1)


def test_an_array_of_bool_says_what_validates():
    mask, held_out = some(8, 8), some(8, 8, share=0.4, seed=1)
    dls = PixelDataLoaders.from_array(numbered(8, 8), mask=mask, valid=held_out)
    assert seen(dls.train) == np.flatnonzero(mask & ~held_out).tolist()
    assert seen(dls.valid) == np.flatnonzero(held_out).tolist()  # also where the mask hides them
    plain = PixelDataLoaders.from_array(numbered(8, 8), valid=torch.from_numpy(held_out))
    assert seen(plain.train) == np.flatnonzero(~held_out).tolist()


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -9999.0])
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_hidden_values_are_never_read_and_the_users_array_stays(hidden, kind):
    values, mask = numbered(6, 6) / 36, some(6, 6)
    values[~mask] = hidden
    given = kind(values)
    data = PixelDataLoaders.from_array(given, mask=mask, value_range=(0, 1), valid="all").train_ds
    assert data.values.isfinite().all() and data.value_range == (0.0, 1.0)
    np.testing.assert_array_equal(np.asarray(given), values)
    unknown_range = PixelDataLoaders.from_array(given, mask=mask, valid="all").train_ds
    assert unknown_range.display_range == pytest.approx((values[mask].min(), values[mask].max()))


def test_a_fixed_order_skips_what_is_unknown():
    mask = some(6, 6)
    dls = PixelDataLoaders.from_array(numbered(6, 6), mask=mask, order="hilbert", valid="all", bs=5)
    visits = [int(value) for _, values in dls.train for value in values]
    assert visits == [i for i in pixel_order((6, 6), "hilbert").tolist() if mask.flat[i]]


def learner_with_a_hole(tmp_path, **options):
    set_seed(0, reproducible=True)
    y, x = np.mgrid[:16, :16] / 16
    values, mask = np.stack([y, x, 1 - y], -1).astype(np.float32), np.ones((16, 16), bool)
    mask[5:9, 6:11] = False
    truth = values.copy()
    values[~mask] = np.nan
    dls = PixelDataLoaders.from_array(values, mask=mask, value_range=(0, 1), bs=64, path=tmp_path, **options)
    return quiet(siren_learner(dls, siren_model([dls.train_ds.coords.shape[1], 32, 3], omega_0=3.0))), truth, mask


@pytest.mark.parametrize("coords", ["centers", "line", torch.rand(256, 2)])
def test_the_whole_signal_is_rendered_and_drawn_with_the_hole_in_the_target(tmp_path, coords):
    learn, _, mask = learner_with_a_hole(tmp_path, coords=coords)
    assert learn.render().shape == (16, 16, 3) and learn.render().isfinite().all()
    for ds_idx in (0, 1):
        learn.show_results(ds_idx)
        target, reconstruction = (ax.images[0].get_array() for ax in plt.gcf().axes[:2])
        np.testing.assert_array_equal(target[..., 3] == 1, mask)  # transparent where nothing is known
        assert (reconstruction[..., 3] == 1).all()
        plt.close("all")


def test_a_batch_is_drawn_with_the_hole(tmp_path):
    learn, _, mask = learner_with_a_hole(tmp_path, valid="all")
    target = learn.dls.show_batch().axes[1].images[0].get_array()
    np.testing.assert_array_equal(target[..., 3] == 1, mask)
    plt.close("all")


def test_a_smooth_signal_is_continued_into_its_hole(tmp_path):
    learn, truth, mask = learner_with_a_hole(tmp_path)
    learn.fit_fast(40, 1e-2)
    error = (learn.render().numpy() - truth)[~mask]
    mean = truth[mask].mean(0) - truth[~mask]
    assert np.abs(error).mean() < 0.2 * np.abs(mean).mean()


def test_an_exported_learner_renders_whole(tmp_path):
    learn, *_ = learner_with_a_hole(tmp_path)
    before = learn.render()
    learn.export("hole.pkl")
    torch.testing.assert_close(load_learner(tmp_path / "hole.pkl").render(), before)


def test_an_image_may_have_a_mask():
    levels, mask = np.zeros((6, 4, 3), np.uint8), some(6, 4)
    data = PixelDataLoaders.from_image(levels, mask=mask, valid="all").train_ds
    assert len(data) == mask.sum() and data.value_range == (0.0, 1.0)
    assert data.hidden.tolist() == np.flatnonzero(~mask).tolist()


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(mask=np.ones((4, 4), np.uint8)), TypeError, "`mask` must be an array of bool, .* got uint8: `mask > 0`"),
        (dict(mask="mask.png"), TypeError, "`mask` must be an array of bool, .* got str"),
        (dict(mask=np.ones((4, 5), bool)), ValueError, r"without channels, \(4, 4\), got \(4, 5\)"),
        (dict(mask=np.ones((4, 4, 3), bool)), ValueError, r"`mask` must have the signal's shape without channels"),
        (dict(mask=np.zeros((4, 4), bool)), ValueError, "`mask` must select at least one sample"),
        (dict(mask=np.ones((4, 4), bool), off_grid=True), ValueError, "`mask` hides some"),
        (dict(valid=np.ones((4, 4), bool)), ValueError, "`valid` holds out every known sample"),
        (dict(valid=np.zeros((4, 4), bool)), ValueError, "`valid` must select at least one"),
        (dict(valid=np.ones((2, 2), bool)), ValueError, "`valid` must have the signal's shape"),
    ],
)
def test_bad_masks_are_named(options, error, message):
    with pytest.raises(error, match=message):
        PixelDataLoaders.from_array(numbered(4, 4), **options)
