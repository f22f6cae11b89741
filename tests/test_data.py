"""The loaders: every sample once an epoch, batches of equal size, any dimension, and what fastai asks of them."""

import math
import random

import numpy as np
import pytest
import torch
from fastai.torch_core import set_seed

from siren_fastai.coords import grid_coords, pixel_order
from siren_fastai.data import PixelDataLoaders, PixelDataset


def signal(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def visited(loader, n):
    """How often each of n samples came, told by values that are their own numbers."""
    counts = torch.zeros(n, dtype=torch.long)
    for _, values in loader:
        counts += torch.bincount(values[:, 0].round().long(), minlength=n)
    return counts


def numbered(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(*shape, 1)


@pytest.mark.parametrize("shape", [(50,), (7, 9), (3, 4, 5), (1, 1)])
@pytest.mark.parametrize("bs", [1, 8, 10_000])
@pytest.mark.parametrize("repeat", [1, 3])
def test_an_epoch_visits_every_sample_equally_often(shape, bs, repeat):
    dls = PixelDataLoaders.from_array(numbered(*shape), bs=bs, repeat=repeat)
    n = math.prod(shape)
    assert (visited(dls.train, n) == repeat).all() and (visited(dls.valid, n) == 1).all()


def test_batches_differ_by_one_sample_at_most_and_never_exceed_bs():
    dls = PixelDataLoaders.from_array(signal(10, 10, 3), bs=32)
    sizes = [len(values) for _, values in dls.train]
    assert len(sizes) == len(dls.train) == 4 and max(sizes) - min(sizes) <= 1 and max(sizes) <= 32


def test_coordinates_belong_to_their_values():
    values = signal(6, 4, 2)
    dls = PixelDataLoaders.from_array(values, bs=5)
    expected = {tuple(c): v for c, v in zip(grid_coords((6, 4)).tolist(), values.reshape(-1, 2), strict=True)}
    for coords, got in dls.train:
        for c, v in zip(coords.tolist(), got.numpy(), strict=True):
            assert (expected[tuple(c)] == v).all()


def test_training_order_changes_each_epoch_and_follows_the_seed_of_random():
    def epochs():
        set_seed(3, reproducible=True)
        dls = PixelDataLoaders.from_array(numbered(8, 8), bs=64)
        return [next(iter(dls.train))[1].flatten() for _ in range(2)]

    first, second = epochs()
    assert (first != second).any()
    again = epochs()
    assert (first == again[0]).all() and (second == again[1]).all()


def test_data_order_does_not_depend_on_what_torch_draws_meanwhile():
    random.seed(1)
    a = next(iter(PixelDataLoaders.from_array(numbered(8, 8), bs=64).train))[1]
    random.seed(1)
    dls = PixelDataLoaders.from_array(numbered(8, 8), bs=64)
    torch.randn(100)
    assert (a == next(iter(dls.train))[1]).all()


@pytest.mark.parametrize("order", ["raster", "serpentine", "hilbert"])
def test_a_fixed_order_is_that_of_pixel_order_in_every_epoch(order):
    dls = PixelDataLoaders.from_array(numbered(5, 6), bs=7, order=order)
    for _ in range(2):
        seen = torch.cat([values for _, values in dls.train]).flatten().long()
        assert (seen == pixel_order((5, 6), order)).all()


def test_shuffled_is_one_permutation_for_all_epochs():
    dls = PixelDataLoaders.from_array(numbered(5, 6), bs=7, order="shuffled")
    first, second = (torch.cat([v for _, v in dls.train]) for _ in range(2))
    assert (first == second).all() and (first != torch.arange(30)[:, None]).any()


def test_a_held_out_fraction_is_disjoint_and_covers_the_rest():
    dls = PixelDataLoaders.from_array(numbered(10, 10), valid=0.2, bs=16)
    train, valid = visited(dls.train, 100), visited(dls.valid, 100)
    assert train.sum() == 80 and valid.sum() == 20 and ((train + valid) == 1).all()


def test_a_fixed_order_of_a_held_out_split_keeps_the_visiting_order():
    dls = PixelDataLoaders.from_array(numbered(6, 6), valid=0.25, order="serpentine", bs=6)
    seen = torch.cat([values for _, values in dls.train]).flatten().long()
    rank = torch.empty(36, dtype=torch.long).scatter_(0, pixel_order((6, 6), "serpentine"), torch.arange(36))
    assert len(seen) == 27 and (rank[seen].diff() > 0).all()


def test_off_grid_positions_carry_interpolated_values():
    ramp = torch.linspace(0, 1, 32)[:, None, None].expand(32, 16, 1)
    dls = PixelDataLoaders.from_array(ramp, bs=64, off_grid=True)
    coords, values = next(iter(dls.train))
    rows = ((coords[:, 0] + 1) * 16 - 0.5).clamp(0, 31) / 31
    torch.testing.assert_close(values[:, 0], rows, atol=1e-5, rtol=0)
    assert not torch.isin(coords[:, 0], grid_coords((32,))[:, 0]).any()
    assert (dls.valid.one_batch()[0] == grid_coords((32, 16))).all()


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int64, np.float16, bool])
def test_every_number_type_becomes_float32(dtype):
    values = (signal(4, 4, 1) * 200).astype(dtype)
    got = PixelDataLoaders.from_array(values).train_ds.values
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), values.reshape(-1, 1).astype(np.float32))


def test_coordinates_may_be_a_line_a_tensor_or_a_function():
    values = signal(4, 5, 3)
    assert PixelDataLoaders.from_array(values, coords="line").train_ds.coords.shape == (20, 1)
    own = torch.rand(20, 7)
    assert (PixelDataLoaders.from_array(values, coords=own).train_ds.coords == own).all()
    made = PixelDataLoaders.from_array(values, coords=lambda shape: grid_coords(shape, "corners"))
    assert made.train_ds.coords.abs().max() == 1


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(bs=0), ValueError, "`bs`"),
        (dict(repeat=1.5), ValueError, "`repeat`"),
        (dict(order="zigzag"), ValueError, "`order`"),
        (dict(valid=1.0), ValueError, "`valid`"),
        (dict(valid=0.001), ValueError, "both parts"),
        (dict(coords="middle"), ValueError, "`coords`"),
        (dict(coords=torch.rand(3, 2)), ValueError, "`coords` must be"),
        (dict(coords="line", off_grid=True), ValueError, "`off_grid`"),
        (dict(valid=0.5, off_grid=True), ValueError, "`valid` must be 'all'"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        PixelDataLoaders.from_array(signal(4, 4, 3), **options)


@pytest.mark.parametrize(
    "values, error, message",
    [
        (np.zeros(5), ValueError, "last axis"),
        (np.zeros((0, 3)), ValueError, "at least one sample"),
        (np.full((2, 2, 1), np.nan), ValueError, "finite"),
        (np.zeros((2, 2, 1), complex), TypeError, "two channels"),
    ],
)
def test_bad_signals_are_named(values, error, message):
    with pytest.raises(error, match=message):
        PixelDataLoaders.from_array(values)


def test_dataset_checks_its_tensors_and_places_samples():
    with pytest.raises(ValueError, match="same n"):
        PixelDataset(torch.zeros(3, 2), torch.zeros(4, 1), (4,))
    data = PixelDataset(grid_coords((2, 2)), torch.arange(4.0)[:, None], (2, 2), "centers").subset(torch.tensor([3, 0]))
    picture = data.to_picture(data.values)[..., 0]
    assert picture[1, 1] == 3 and picture[0, 0] == 0 and picture[0, 1].isnan() and len(data.new_empty()) == 0


@pytest.mark.parametrize("shape", [(16, 16, 3), (12, 8, 1), (40, 2), (4, 6, 5, 1)])
def test_batches_and_results_can_be_drawn(shape):
    dls = PixelDataLoaders.from_array(signal(*shape), bs=20)
    assert len(dls.show_batch().axes) == 2
    b = dls.train.one_batch()
    assert len(dls.train.show_results(b, b[1]).axes) >= 3


def test_drawing_a_batch_without_a_grid_is_refused():
    with pytest.raises(ValueError, match="no regular grid"):
        PixelDataLoaders.from_array(signal(4, 4, 3), coords="line").show_batch()


def test_an_empty_loader_says_so():
    dls = PixelDataLoaders.from_array(signal(4, 4, 3)).new_empty()
    with pytest.raises(ValueError, match="no samples"):
        dls.train.one_batch()


def test_an_array_may_be_reversed():
    values = signal(4, 4, 3)
    dls = PixelDataLoaders.from_array(values[..., ::-1])
    assert (dls.train_ds.values.numpy() == values[..., ::-1].reshape(-1, 3)).all()


def test_the_value_range_is_the_signals_or_the_users_and_both_parts_share_it():
    values = (signal(8, 8, 1) * 255).round()
    dls = PixelDataLoaders.from_array(values, valid=0.5)
    assert dls.train_ds.value_range == dls.valid_ds.value_range == (0.0, 255.0)
    torch.testing.assert_close(dls.train_ds.to_unit(dls.train_ds.values), dls.train_ds.values / 255)
    told = PixelDataLoaders.from_array(values, value_range=(-10, 300)).new_empty()
    assert told.train_ds.value_range == (-10.0, 300.0)
    for bad in ((1, 0), (0, math.inf)):
        with pytest.raises(ValueError, match="`value_range`"):
            PixelDataLoaders.from_array(values, value_range=bad)


def test_batches_of_any_range_are_drawn_in_it_and_as_large_as_asked():
    dls = PixelDataLoaders.from_array(signal(6, 6, 3) * 2 - 1, bs=36)
    figure = dls.show_batch(figsize=(9, 3))
    assert figure.get_size_inches().tolist() == [9, 3]
    shown = figure.axes[1].images[0].get_array()[..., :3]
    np.testing.assert_allclose(shown, signal(6, 6, 3), atol=1e-6)
    coords, values = dls.valid.one_batch()
    figure = dls.valid.show_results((coords, values), values + 9, figsize=(9, 3))
    assert figure.get_size_inches().tolist() == [9, 3] and (figure.axes[1].images[0].get_array() == 1).all()
