"""The base loader on a toy dataset of two inputs: what fastai does with its own loaders works with it too."""

import random

import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.data.transforms import Transform
from fastai.learner import Learner, load_learner
from fastai.torch_core import set_seed
from learners import quiet
from torch import nn

from siren_fastai.data import IndexedDL, PixelDataLoaders
from siren_fastai.data.share import Share


class Sums:
    """Images (n, 1, 2, 2) and codes (n, 3) as two inputs; the target is the sum of all their numbers."""

    n_inp = 2

    def __init__(self, images, codes):
        self.images, self.codes, self.loss_func = images, codes, nn.MSELoss()

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, index):
        images, codes = self.images[index], self.codes[index]
        return images, codes, images.sum((1, 2, 3)) + codes.sum(1)

    @property
    def device(self):
        return self.codes.device

    def new_empty(self):
        return Sums(self.images[:0], self.codes[:0])

    def to_(self, device):
        self.images, self.codes = self.images.to(device), self.codes.to(device)
        return self


def sums(n=37):
    generator = torch.Generator().manual_seed(0)
    return Sums(torch.randn(n, 1, 2, 2, generator=generator), torch.randn(n, 3, generator=generator))


class Numbers:
    """The numbers from 0 to n - 1, each of which is its own index."""

    n_inp, device = 1, torch.device("cpu")

    def __init__(self, n):
        self.values = torch.arange(n)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return (self.values[index],)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(7, 1)

    def forward(self, images, codes):
        return self.layer(torch.cat([images.flatten(1), codes], 1))[:, 0]


def sums_learner(path, **options):
    set_seed(1, reproducible=True)
    dls = DataLoaders(IndexedDL(sums(), bs=8, shuffle=True, **options), IndexedDL(sums(20), bs=16), path=path)
    return quiet(Learner(dls, TwoInputs(), lr=0.1))


def seen(dl):
    return [batch[0].tolist() for batch in dl]


def test_a_plain_learner_fits_two_inputs_and_finds_the_sum(tmp_path):
    learn = sums_learner(tmp_path)
    assert learn.lr_find(num_it=20, show_plot=False).valley > 0
    before = learn.validate()[0]
    learn.fit_one_cycle(30)
    assert learn.validate()[0] < 1e-2 < before
    weights = learn.model.layer.weight.detach()
    torch.testing.assert_close(weights, torch.ones(1, 7), atol=0.05, rtol=0)
    assert "Total params: 8" in str(learn.summary())


def test_predictions_are_in_the_datasets_order_also_from_a_shuffled_loader(tmp_path):
    learn = sums_learner(tmp_path)
    images, codes, targets = sums()[:]
    expected = learn.model(images, codes).detach()
    for options in (dict(ds_idx=0), dict(dl=learn.dls.train), dict(dl=learn.dls.test_dl(sums()))):
        preds, got = learn.get_preds(**options)
        torch.testing.assert_close(preds, expected)
        torch.testing.assert_close(got, targets)
    inputs, preds, got, losses = learn.get_preds(ds_idx=0, with_input=True, with_loss=True)
    assert torch.equal(inputs[0], images) and torch.equal(inputs[1], codes)
    torch.testing.assert_close(losses, (expected - targets) ** 2)


def test_an_exported_learner_holds_no_sample_and_predicts_others(tmp_path):
    learn = sums_learner(tmp_path)
    learn.export("sums.pkl")
    loaded = quiet(load_learner(tmp_path / "sums.pkl"))
    assert [len(dl.dataset) for dl in loaded.dls] == [0, 0]
    some = Sums(*sums()[:5][:2])
    torch.testing.assert_close(loaded.get_preds(dl=loaded.dls.test_dl(some))[0], learn.get_preds(ds_idx=0)[0][:5])
    with pytest.raises(ValueError, match="holds no samples"):
        loaded.dls.one_batch()


@pytest.mark.parametrize("n, bs, sizes", [(10, 4, [3, 3, 4]), (8, 4, [4, 4]), (3, 9, [3]), (1, 1, [1])])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_of_nearly_equal_size_and_hold_every_sample_once(n, bs, sizes, shuffle):
    dl = IndexedDL(Numbers(n), bs=bs, shuffle=shuffle)
    batches = seen(dl)
    assert sorted(map(len, batches)) == sizes and len(dl) == len(sizes)
    assert sorted(sum(batches, [])) == list(range(n))


@pytest.mark.parametrize("shuffle", [False, True])
def test_drop_last_makes_whole_batches(shuffle):
    dl = IndexedDL(Numbers(10), bs=4, shuffle=shuffle, drop_last=True)
    assert [len(b) for b in seen(dl)] == [4, 4] and len(dl) == 2
    with pytest.raises(ValueError, match="`drop_last` leaves no batch: `bs` is 11 and there are 10 samples"):
        IndexedDL(Numbers(10), bs=11, drop_last=True)


def test_predictions_leave_nothing_out_where_training_drops_the_last(tmp_path):
    learn = sums_learner(tmp_path, drop_last=True)
    learn.fit(1)
    assert len(learn.dls.train) == 4 and len(learn.get_preds(ds_idx=0)[0]) == 37


@pytest.mark.parametrize("shuffle", [False, True])
def test_n_takes_the_first_samples_and_may_be_changed_later(shuffle):
    dl = IndexedDL(Numbers(10), bs=2, n=5, shuffle=shuffle)
    assert sorted(sum(seen(dl), [])) == [0, 1, 2, 3, 4] and len(dl) == 3
    dl.n = 8
    assert sorted(sum(seen(dl), [])) == list(range(8)) and len(dl) == 4
    dl.n = 11
    with pytest.raises(ValueError, match="`n` must be at most the 10 samples"):
        seen(dl)


def test_before_batch_gets_the_index_and_after_batch_the_batch():
    dl = IndexedDL(Numbers(6), bs=3, before_batch=lambda index: index.flip(0), after_batch=lambda x: x * 10)
    assert seen(dl) == seen(dl.new()) == [[20, 10, 0], [50, 40, 30]]


def test_transforms_are_added_as_in_fastai_but_not_for_items():
    class Negative(Transform):
        def encodes(self, x: torch.Tensor):
            return -x

    dls = DataLoaders(IndexedDL(Numbers(4), bs=4), IndexedDL(Numbers(4), bs=4))
    dls.add_tfms([Negative()], "after_batch", "valid")
    assert (seen(dls.train), seen(dls.valid)) == ([[0, 1, 2, 3]], [[0, -1, -2, -3]])
    dls.add_tfms([Negative()], "after_item")
    with pytest.raises(ValueError, match="`after_item` transforms never run"):
        seen(dls.train)


@pytest.mark.parametrize(
    "option",
    [dict(num_workers=2), dict(after_item=lambda x: x), dict(pin_memory=True), dict(shuffle_fn=list), dict(wif=print)],
)
def test_options_without_effect_are_refused(option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` has no effect here"):
        IndexedDL(Numbers(4), **option)


@pytest.mark.parametrize("name", ["bs", "batch_size", "n"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "4", True])
def test_bad_counts_are_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of 1 or more, got"):
        IndexedDL(Numbers(4), **{name: value})


def test_the_names_of_fastai_and_pytorch_for_the_defaults_are_accepted():
    dl = IndexedDL(Numbers(4), batch_size=2, num_workers=0, pin_memory=False, timeout=0)
    assert dl.bs == 2 and seen(dl) == [[0, 1], [2, 3]]


def test_shuffling_follows_the_seed_of_random_and_changes_each_epoch():
    def epochs():
        random.seed(5)
        dl = IndexedDL(Numbers(50), bs=50, shuffle=True)
        torch.randn(9)
        return seen(dl), seen(dl)

    first, second = epochs()
    assert first != second and epochs() == (first, second)


def test_a_subclass_may_make_batches_and_draw_on_the_device():
    class Noisy(IndexedDL):
        def create_batch(self, b):
            (values,) = super().create_batch(b)
            noise = torch.rand(len(values), generator=self.device_generator(), device=self.dataset.device)
            return values + noise, values

    def epoch():
        random.seed(2)
        return list(Noisy(Numbers(9), bs=3, shuffle=True))

    for (noisy, values), (same, _) in zip(epoch(), epoch(), strict=True):
        assert torch.equal(noisy, same) and torch.equal(noisy.floor(), values.float()) and (noisy != values).any()


def test_a_dataset_on_another_device_is_moved_with_its_loaders():
    data = sums()
    dls = DataLoaders(IndexedDL(data, bs=8), IndexedDL(data, bs=8))
    assert dls.to("meta").train.one_batch()[0].device.type == data.device.type == "meta"


def test_from_dsets_builds_it_as_fastai_builds_its_own():
    dls = DataLoaders.from_dsets(sums(), sums(20), bs=8, dl_type=IndexedDL, num_workers=0, device="cpu")
    assert (dls.train.shuffle, dls.valid.shuffle, len(dls.train), len(dls.valid)) == (True, False, 4, 3)
    assert repr(dls.valid).startswith("IndexedDL(batches=3, bs=8, shuffle=False, dataset=")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"drop_last": True}])
def test_the_parts_of_several_processes_make_up_the_batches_of_one(count, options):
    samples = torch.arange(53)
    alone = IndexedDL(Sums(torch.zeros(53, 1, 2, 2), samples[:, None].expand(53, 3)), bs=4 * count, **options)
    parts = []
    for rank in range(count):
        dl = alone.new(bs=4)
        dl.share, dl.rng = Share(rank, count), random.Random(1)
        parts.append(list(dl))
        assert len(dl) == len(alone) == len(parts[-1]) and max(len(batch[0]) for batch in parts[-1]) <= 4
    alone.rng = random.Random(1)
    for batch, *own in zip(alone, *parts, strict=True):
        assert torch.equal(batch[1], torch.cat([part[1] for part in own]))


def test_off_grid_positions_are_those_of_one_process():
    values = torch.rand(6, 7, 1)
    alone = PixelDataLoaders.from_array(values, bs=20, off_grid=True).train
    halves = []
    for rank in range(2):
        dl = alone.new(bs=10)
        dl.share, dl.rng = Share(rank, 2), random.Random(1)
        halves.append(list(dl))
    alone.rng = random.Random(1)
    for (coords, targets), *own in zip(alone, *halves, strict=True):
        assert torch.equal(coords, torch.cat([part[0] for part in own]))
        torch.testing.assert_close(targets, torch.cat([part[1] for part in own]))
