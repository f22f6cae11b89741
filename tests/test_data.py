"""The loaders: every sample once an epoch, batches of equal size, any dimension, and what fastai asks of them."""

import inspect
import math
import random

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from fastcore.docments import docments
from learners import picture, quiet
from skimage.metrics import peak_signal_noise_ratio

from siren_fastai.coords import grid_coords, line_coords, pixel_order
from siren_fastai.data import PixelDataLoaders, PixelDataset, PixelDL
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR
from siren_fastai.models.siren import siren_model


def signal(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def visited(loader, n):
    """How often each of n samples occurs; the values are the samples' own numbers."""
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
    batches = list(dls.train)
    assert sum(len(got) for _, got in batches) == 24
    for coords, got in batches:
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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, torch.bfloat16])
def test_floats_keep_their_values_and_have_no_range(dtype):
    values = signal(4, 4, 1) * 200
    values = torch.from_numpy(values).to(dtype) if isinstance(dtype, torch.dtype) else values.astype(dtype)
    data = PixelDataLoaders.from_array(values).train_ds
    assert data.values.dtype == torch.float32 and data.value_range is None
    assert torch.equal(data.values, torch.as_tensor(values).float().reshape(-1, 1))


@pytest.mark.parametrize(
    "dtype, least, most, unit, value_range",
    [
        (bool, 0, 1, 1, (0.0, 1.0)),
        (np.uint8, 0, 255, 255, (0.0, 1.0)),
        (np.uint16, 0, 65535, 65535, (0.0, 1.0)),
        (np.int16, -32768, 32767, 32768, (-1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_integers_are_scaled_by_their_type(dtype, least, most, unit, value_range, kind):
    levels = np.linspace(least, most, 12).astype(dtype).reshape(3, 4, 1)
    data = PixelDataLoaders.from_array(kind(levels), value_range=value_range).train_ds
    expected = (levels.astype(np.float32) / np.float32(unit)).reshape(-1, 1)
    assert data.value_range == value_range and (data.values.numpy() == expected).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint32])
def test_integers_of_unknown_scale_are_refused(dtype):
    with pytest.raises(TypeError, match=f"got {np.dtype(dtype).name}: their scale isn't known"):
        PixelDataLoaders.from_array(np.ones((4, 4, 3), dtype))


def test_an_8_bit_array_is_the_image_that_from_image_makes_of_it():
    levels = (signal(5, 6, 3) * 255).astype(np.uint8)
    a, b = PixelDataLoaders.from_array(levels).train_ds, PixelDataLoaders.from_image(levels).train_ds
    assert torch.equal(a.values, b.values) and a.value_range == b.value_range == (0.0, 1.0)


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 28, 28), (4, 9, 8), (1, 44100), (2, 1000), (3, 5, 16, 16), (5, 3, 16, 16)]
)
def test_channels_first_are_refused(shape):
    with pytest.raises(ValueError, match="channels first"):
        PixelDataLoaders.from_array(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 4), (3, 9), (40, 9), (3, 4, 3), (8, 8, 12), (1, 9, 1), (5, 3, 3, 4), (5, 6, 7, 16)]
)
def test_other_signals_with_channels_last_are_not_mistaken(shape):
    assert PixelDataLoaders.from_array(np.zeros(shape, np.float32)).train_ds.shape == shape[:-1]


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
        (dict(bs=0), ValueError, "`bs` must be an integer of 1 or more, got 0"),
        (dict(bs=2.0), ValueError, "`bs`"),
        (dict(bs=True), ValueError, "`bs`"),
        (dict(bs=None), ValueError, "`bs`"),
        (dict(valid_bs=0), ValueError, "`valid_bs` must be an integer of 1 or more, got 0"),
        (dict(value_range=(0, 0.5)), ValueError, r"must be in `value_range`, \[0, 0.5\], got"),
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
        (np.full((2, 2, 1), np.inf), ValueError, "finite"),
    ],
)
def test_bad_signals_are_named(values, error, message):
    with pytest.raises(error, match=message):
        PixelDataLoaders.from_array(values)


def test_dataset_checks_its_tensors_and_places_samples():
    with pytest.raises(ValueError, match="same n"):
        PixelDataset(torch.zeros(3, 2), torch.zeros(4, 1), (4,))
    data = PixelDataset(grid_coords((2, 2)), torch.arange(4.0)[:, None], (2, 2), "centers").subset(torch.tensor([3, 0]))
    placed = data.to_picture(data.values)[..., 0]
    assert placed[1, 1] == 3 and placed[0, 0] == 0 and placed[0, 1].isnan() and len(data.new_empty()) == 0


@pytest.mark.parametrize("shape", [(16, 16, 3), (12, 8, 1), (40, 2), (4, 6, 5, 1)])
def test_batches_and_results_can_be_drawn(shape):
    dls = PixelDataLoaders.from_array(signal(*shape), bs=20)
    assert len(dls.show_batch().axes) == 2
    b = dls.train.one_batch()
    assert len(dls.train.show_results(b, b[1]).axes) >= 3


def test_drawing_a_batch_without_a_grid_is_refused():
    with pytest.raises(ValueError, match="aren't a regular grid"):
        PixelDataLoaders.from_array(signal(4, 4, 3), coords="line").show_batch()


def test_an_empty_loader_says_so():
    dls = PixelDataLoaders.from_array(signal(4, 4, 3)).new_empty()
    with pytest.raises(ValueError, match="no samples"):
        dls.train.one_batch()


def test_an_array_may_be_reversed():
    values = signal(4, 4, 3)
    dls = PixelDataLoaders.from_array(values[..., ::-1])
    assert (dls.train_ds.values.numpy() == values[..., ::-1].reshape(-1, 3)).all()


def test_a_stated_value_range_is_shared_by_both_parts_and_survives_an_export():
    values = (signal(8, 8, 1) * 255).round()
    dls = PixelDataLoaders.from_array(values, valid=0.5, value_range=(0, 255))
    assert dls.train_ds.value_range == dls.valid_ds.value_range == dls.new_empty().valid_ds.value_range == (0.0, 255.0)
    torch.testing.assert_close(dls.train_ds.to_unit(dls.train_ds.values), dls.train_ds.values / 255)
    assert torch.equal(dls.train_ds.clamp(torch.tensor([-1.0, 7, 256])), torch.tensor([0.0, 7, 255]))
    for bad in ((1, 0), (0, math.inf)):
        with pytest.raises(ValueError, match="`value_range`"):
            PixelDataLoaders.from_array(values, value_range=bad)
    with pytest.raises(ValueError, match="`value_range` of uint8 values is"):
        PixelDataLoaders.from_array(values.astype(np.uint8), value_range=(0, 255))


def test_without_a_stated_range_nothing_is_clamped_and_plots_span_the_values():
    values = signal(8, 8, 1) * 7 - 3
    data = PixelDataLoaders.from_array(values, valid=0.5).new_empty().train_ds
    assert data.value_range is None and data.display_range == (float(values.min()), float(values.max()))
    outside = torch.tensor([-99.0, 99.0])
    assert torch.equal(data.clamp(outside), outside)


def test_an_image_has_the_unit_range_whatever_its_values():
    assert PixelDataLoaders.from_image(np.full((4, 4), 0.5)).train_ds.value_range == (0.0, 1.0)
    with pytest.raises(TypeError, match="leave `value_range` out"):
        PixelDataLoaders.from_image(signal(4, 4), value_range=(0, 2))


def test_batches_of_any_range_are_drawn_in_it_and_as_large_as_asked():
    dls = PixelDataLoaders.from_array(signal(6, 6, 3) * 2 - 1, bs=36, value_range=(-1, 1))
    figure = dls.show_batch(figsize=(9, 3))
    assert figure.get_size_inches().tolist() == [9, 3]
    shown = figure.axes[1].images[0].get_array()[..., :3]
    np.testing.assert_allclose(shown, signal(6, 6, 3), atol=1e-6)
    coords, values = dls.valid.one_batch()
    figure = dls.valid.show_results((coords, values), values + 9, figsize=(9, 3))
    assert figure.get_size_inches().tolist() == [9, 3] and (figure.axes[1].images[0].get_array() == 1).all()


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, int])
def test_batch_sizes_may_be_integers_of_any_type(integer):
    dls = PixelDataLoaders.from_array(signal(6, 6, 3), bs=integer(10), valid_bs=integer(9), repeat=integer(2))
    assert (len(dls.train), len(dls.valid)) == (8, 4) and type(dls.train.bs) is type(dls.valid.bs) is int


def test_validation_batches_are_large_by_default():
    assert [PixelDataLoaders.from_array(signal(6, 6, 1), bs=bs).valid.bs for bs in (7, 20000)] == [16384, 20000]


def test_representations_say_what_is_inside():
    dls = PixelDataLoaders.from_image(signal(6, 4, 3), bs=10, order="hilbert", repeat=2, device="cpu")
    for part in ("on cpu", "24 samples of 6x4, 3 channels, grid='centers', value_range=(0.0, 1.0)"):
        assert part in repr(dls)
    for part in (
        "train: PixelDL(batches=5",
        "bs=10",
        "shuffle=False",
        "visits='fixed'",
        "repeat=2",
        "valid: PixelDL(batches=1",
    ):
        assert part in repr(dls)
    assert "line='raster', value_range=None" in repr(PixelDataLoaders.from_array(signal(9, 1), coords="line").train_ds)


def test_the_options_of_from_image_are_shown():
    shown = inspect.signature(PixelDataLoaders.from_image).parameters
    hidden = {"values", "value_range"}
    assert (
        shown.keys()
        == {"source", "size", "mode"} | inspect.signature(PixelDataLoaders.from_array).parameters.keys() - hidden
    )
    assert {"bs", "shuffle", "drop_last", "before_batch"} <= inspect.signature(PixelDL.__init__).parameters.keys()


def test_every_public_parameter_is_documented():
    for function in (PixelDataset.__init__, PixelDataLoaders.from_array.__func__):
        undocumented = [
            name for name, text in docments(function).items() if not text and name not in ("self", "cls", "return")
        ]
        assert not undocumented, function


def line_learner(tmp_path, **options):
    dls = PixelDataLoaders.from_array(signal(12, 10, 3), path=tmp_path, valid=0.75, value_range=(0, 1), **options)
    return quiet(siren_learner(dls, siren_model([dls.train_ds.coords.shape[1], 8, 3])))


@pytest.mark.parametrize("order", ["random", "serpentine"])
def test_a_line_with_held_out_pixels_renders_whole_also_after_an_export(tmp_path, order):
    learn = line_learner(tmp_path, coords="line", order=order)
    expected = learn.model(line_coords((12, 10), "raster" if order == "random" else order)).detach().view(12, 10, 3)
    torch.testing.assert_close(learn.render(clamp=None), expected)
    torch.testing.assert_close(learn.render(), expected.clamp(0, 1))
    learn.export("line.pkl")
    torch.testing.assert_close(quiet(load_learner(tmp_path / "line.pkl")).render(clamp=None), expected)


def test_own_coordinates_with_held_out_pixels_render_whole_but_are_not_exported(tmp_path):
    coords = torch.rand(120, 5)
    learn = line_learner(tmp_path, coords=coords)
    torch.testing.assert_close(learn.render(clamp=None), learn.model(coords).detach().view(12, 10, 3))
    learn.export("own.pkl")
    assert (tmp_path / "own.pkl").stat().st_size < 100_000
    with pytest.raises(ValueError, match="keeps no coordinates that were given as `coords`"):
        load_learner(tmp_path / "own.pkl").render()


def test_predictions_at_any_positions_come_from_a_test_loader_in_their_order(tmp_path):
    learn = line_learner(tmp_path, valid_bs=7)
    coords = torch.rand(50, 2) * 2 - 1
    for given in (coords, coords.numpy(), coords.tolist()):
        torch.testing.assert_close(learn.get_preds(dl=learn.dls.test_dl(given))[0], learn.model(coords).detach())
    assert repr(learn.dls.test_dl(coords)).startswith("IndexedDL(batches=8, bs=7")
    preds, targets = learn.get_preds(dl=learn.dls.test_dl(learn.dls.train_ds))
    assert torch.equal(targets, learn.dls.train_ds.values) and len(preds) == 30
    with pytest.raises(ValueError, match=r"positions \(n, 2\).* got shape \(2,\)"):
        learn.dls.test_dl([0.1, 0.2])


@pytest.mark.parametrize(
    "items, options, error, message",
    [
        (np.zeros((5, 3)), {}, ValueError, r"positions \(n, 2\).* got shape \(5, 3\)"),
        (picture(), {}, ValueError, r"got shape \(12, 10, 3\)"),
        ("image.png", {}, TypeError, "got str"),
        (["image.png"], {}, TypeError, "got list"),
        (np.zeros((5, 2)), {"with_labels": True}, ValueError, "`with_labels`"),
    ],
)
def test_what_is_no_position_has_no_test_loader(items, options, error, message):
    with pytest.raises(error, match=message):
        PixelDataLoaders.from_image(picture()).test_dl(items, **options)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), None])
def test_a_mean_colour_residual_is_never_reported_in_a_guessed_range(tmp_path, value_range):
    """Its own extremes, or [-1, 1] instead of the image's [0, 1], would give another number of dB."""
    residual = signal(12, 10, 3) * 0.66 - 0.33
    dls = PixelDataLoaders.from_array(residual, path=tmp_path, value_range=value_range)
    learn = quiet(siren_learner(dls, siren_model([2, 8, 3])))
    row = learn.validate()
    assert len(row) == (1 if value_range is None else 2)
    own = quiet(siren_learner(dls, learn.model, metrics=PSNR(clamp=False)))
    assert own.validate()[1] == pytest.approx(-10 * math.log10(row[0]), abs=1e-3)


def test_a_bright_image_in_the_symmetric_range_is_not_judged_in_the_unit_range(tmp_path):
    bright = signal(12, 10, 3) * 0.8 + 0.2  # of an image in [-1, 1]
    unknown = PixelDataLoaders.from_array(bright, path=tmp_path)
    stated = PixelDataLoaders.from_array(bright, path=tmp_path, value_range=(-1, 1))
    model = siren_model([2, 8, 3])
    assert len(siren_learner(unknown, model).metrics) == 0
    learn = quiet(siren_learner(stated, model))
    expected = peak_signal_noise_ratio(bright, learn.render().numpy(), data_range=2)
    assert learn.validate()[1] == pytest.approx(expected, abs=1e-3)
