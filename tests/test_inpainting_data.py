"""Photos with holes in fastai: what is drawn by seed, epoch and index, splits by photo, loaders, export and load."""

import multiprocessing

import numpy as np
import pytest
import torch
from fastai.learner import Learner, load_learner
from fastai.torch_core import set_seed
from learners import quiet
from PIL import Image
from torch import nn

from siren_fastai.data.share import Share
from siren_fastai.inpainting.data import InpaintingDataset, InpaintingDL, inpainting_dataloaders
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views

HOLES = Rectangles(1, 2, side=(2, 6))
WIDE = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), dtype=np.uint8) for i in range(6)]


def photos(n=10, channels=3, seed=0):
    """Random photos of different sizes; photo i has red below 10 i + 10 only."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(20 + i % 3, 24 - i % 4) for i in range(n)]
    images = [torch.randint(256, (channels, *size), generator=generator) for size in sizes]
    return Sources([(image * (i + 1) // 26).to(torch.uint8) for i, image in enumerate(images)])


def data(**options):
    return InpaintingDataset(photos(), **{"size": 16, "holes": HOLES, "views": Views(), "per_image": 4, **options})


def loaders(**options):
    return inpainting_dataloaders(photos(), **{"size": 16, "holes": HOLES, "bs": 8, "verbose": False, **options})


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class Fill(nn.Module):
    """One convolution over image and mask."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image, mask):
        return self.conv(torch.cat([image, mask], 1))


def masked_l1(pred, target, mask):
    return ((pred - target).abs() * (1 - mask)).mean()


def test_the_input_is_the_target_where_it_is_known_and_black_in_the_hole():
    image, mask, target, again = data()[:20]
    assert image.shape == (20, 3, 16, 16) and mask.shape == (20, 1, 16, 16) and torch.equal(mask, again)
    known = (mask == 1).expand_as(image)
    assert torch.equal(image[known], target[known]) and not image[~known].any()
    holes = (1 - mask).sum((1, 2, 3))
    assert holes.min() >= 4 and holes.max() <= 72 and set(mask.unique().tolist()) == {0, 1}


def test_samples_of_a_batch_are_drawn_apart():
    _, mask, target, _ = InpaintingDataset(photos().subset([9]), 16, HOLES, Views(), per_image=32)[:]
    assert len(target.flatten(1).unique(dim=0)) == 32
    assert len(mask.flatten(1).unique(dim=0)) > 28


def test_seed_epoch_and_index_determine_a_sample_in_any_order_and_batch():
    first, second = data(), data()
    order = torch.randperm(40)
    whole, shuffled = first[:], second[order]
    for a, b in zip(whole, shuffled, strict=True):
        torch.testing.assert_close(a[order], b)
    assert torch.equal(whole[1][order], shuffled[1])
    second.epoch = 1
    assert not torch.equal(whole[1], second[:][1])
    assert not torch.equal(whole[1], data(seed=1)[:][1])


def drawn_elsewhere(index):
    views, holes = data().draw(index)
    return views.tolist(), holes.tolist()


@pytest.mark.slow
def test_other_processes_draw_the_same():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        views, holes = pool.apply(drawn_elsewhere, ([7, 31],))
    own = data().draw([31, 7])
    assert views == own[0][::-1].tolist() and holes == own[1][::-1].tolist()


def test_holes_stay_the_same_whatever_the_views_are_and_views_whatever_the_holes():
    plain = data(views=None)
    assert torch.equal(plain[:][1], data()[:][1])
    other = data()
    other.holes = Rectangles(1, 1, side=(2, 2))
    assert torch.equal(other[:][2], data()[:][2]) and not torch.equal(other[:][1], data()[:][1])


def test_shared_views_are_one_draw_for_all_photos_which_changes_with_the_epoch():
    same_photo = Sources([photos()[0]] * 6)
    shared = InpaintingDataset(same_photo, 16, HOLES, Views(shared=True), per_image=1)
    target = shared[:][2]
    assert torch.equal(target, target[:1].expand_as(target))
    assert len(shared[:][1].flatten(1).unique(dim=0)) > 1  # holes are drawn apart
    shared.epoch = 1
    assert not torch.equal(shared[:][2], target)


def test_a_shuffled_loader_counts_complete_passes_and_validation_stays_the_same():
    dls = loaders()
    first, again = ([tuple(batch) for batch in dls.valid] for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, again, strict=True)) and dls.valid_ds.epoch == 0
    dls.train.one_batch()
    assert dls.train_ds.epoch == 0
    seen = [torch.cat([batch[1] for batch in dls.train]).sum() for _ in range(3)]
    assert dls.train_ds.epoch == 3 and len(set(map(float, seen))) > 1


def test_validation_shows_pieces_of_the_photos_pixel_by_pixel():
    dls = loaders()
    target = (255 * torch.cat([batch[2] for batch in dls.valid])).double()
    assert (target - target.round()).abs().max() < 1e-4 and len(target) == 2 * 4


def reds(sources):
    return {int(sources[i][0].max()) for i in range(len(sources))}


@pytest.mark.parametrize("options", [{}, {"test": 0.2}, {"fold": (1, 3)}, {"fold": (0, 5), "test": 0}])
def test_photos_are_divided_whole_and_none_is_lost(options):
    dls = loaders(**options)
    parts = [dls.train_ds.sources, dls.valid_ds.sources, *([dls.test_sources] if dls.test_sources else [])]
    names = [set(part.names) for part in parts]
    assert sorted(name for part in names for name in part) == sorted(photos().names)
    assert not reds(parts[0]) & reds(parts[1])
    assert len(parts) == (3 if options in ({"test": 0.2}, {"fold": (1, 3)}) else 2)


def test_groups_stay_together_and_photos_of_their_own_validate():
    dls = loaders(groups=[i // 2 for i in range(10)])
    assert dls.valid_ds.sources.names == ["image 8", "image 9"]
    dls = loaders(valid=photos(3, seed=1))
    assert len(dls.train_ds.sources) == 10 and len(dls.valid_ds.sources) == 3


def test_the_photos_kept_apart_are_tested_with_fixed_windows_and_any_holes():
    dls = loaders(test=0.2)
    first, second = (list(dls.test_dl()) for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    larger = dls.test_dl(holes=Rectangles(1, 1, side=(8, 8)), per_image=2, seed=5)
    assert set((1 - larger.one_batch()[1]).sum((1, 2, 3)).tolist()) == {64} and len(larger.dataset) == 4
    assert len(dls.test_dl([photos()[0].permute(1, 2, 0).numpy()]).dataset) == 4
    with pytest.raises(ValueError, match="no photos were kept apart"):
        loaders().test_dl()


def test_what_was_loaded_is_printed(capsys, tmp_path):
    for i in range(5):
        Image.new("L", (40, 20), 40 * i).save(tmp_path / f"{i}.png")
    dls = inpainting_dataloaders(tmp_path, size=16, holes=HOLES, bs=4)
    printed = capsys.readouterr().out
    assert "train: 4 images of 20x40 pixels, 1 channels, 0.0 MB on cpu, 32 samples per epoch" in printed
    assert "valid: 1 image of 20x40" in printed and "batches of 4 images of 16x16, 0.0 MB" in printed
    assert dls.image_shape == (1, 16, 16) and "Rectangles" in repr(dls)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_see_parts_of_the_batches_that_one_process_sees(count):
    def batches(rank=0, count=1):
        set_seed(5, reproducible=True)
        dl = InpaintingDL(data(), bs=12 // count, shuffle=True)
        dl.share = Share(rank, count)
        return [batch[1] for batch in dl]

    parts = [batches(rank, count) for rank in range(count)]
    for whole, *pieces in zip(batches(), *parts, strict=True):
        assert torch.equal(torch.cat(pieces), whole)


def test_what_processes_compare_changes_with_every_setting():
    known = data().checksums()
    assert torch.equal(known, data().checksums())
    other = data()
    other.epoch = 2
    for changed in (other, data(seed=1), data(views=None), data(holes=Rectangles(1, 1, side=(2, 3)))):
        assert not torch.equal(changed.checksums(), known)


def test_a_plain_learner_trains_and_an_exported_one_keeps_no_photo_but_its_epoch(tmp_path):
    set_seed(1, reproducible=True)
    learn = quiet(Learner(loaders(path=tmp_path), Fill(), loss_func=masked_l1, lr=0.01))
    before = learn.validate()[0]
    learn.fit(3)
    assert learn.validate()[0] < before and learn.dls.train_ds.epoch == 3
    learn.export("fill.pkl")
    loaded = quiet(load_learner(tmp_path / "fill.pkl"))
    assert [len(dl.dataset) for dl in loaded.dls] == [0, 0] and loaded.dls.train_ds.epoch == 3
    dl = loaded.dls.test_dl(photos(2))
    preds, (target, mask) = loaded.get_preds(dl=dl)
    assert preds.shape == target.shape == (8, 3, 16, 16) and mask.shape == (8, 1, 16, 16)
    learn.dls.train_ds.holes = Rectangles(1, 1, side=(9, 9))
    assert set((1 - learn.dls.train.one_batch()[1]).sum((1, 2, 3)).tolist()) == {81}


def test_drawing_a_batch_and_results(tmp_path):
    dls = loaders()
    assert [ax.get_title() for ax in dls.show_batch().axes] == ["input", "target"]
    batch = dls.valid.one_batch()
    figure = dls.valid.show_results(batch, batch[2] + 3, max_n=4)
    assert [ax.get_title() for ax in figure.axes[:4]] == ["target", "input", "filled", "error"]
    image, target, pairs, outs = dls.valid.show_results(batch, batch[2] + 3, max_n=4, show=False)
    filled = torch.stack([out[0] for out in outs])
    assert torch.equal(filled, torch.where(batch[1][:4] == 1, target, torch.ones(()))) and len(pairs) == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 22}, "smaller than `size` 22x22"),
        ({"holes": Rectangles(1, 3, side=(8, 24))}, "rectangles of up to 24"),
        ({"valid": 0.01}, "`valid`=0.01 takes 0 of 10 images"),
        ({"test": 2.5}, "`test` must be an integer above 1"),
        ({"fold": (5, 5)}, "`fold` must be an integer from 0"),
        ({"groups": [1, 2]}, r"`groups` must be \(10,\)"),
        ({"per_image": 0}, "`per_image` must be an integer of 1 or more"),
        ({"seed": -1}, "`seed` must be an integer of 0 or more"),
        ({"bs": 0}, "`bs` must be an integer of 1 or more"),
    ],
)
def test_wrong_settings_are_errors_before_any_training(options, message):
    with pytest.raises(ValueError, match=message):
        loaders(**options)


def test_holes_that_cannot_draw_are_an_error():
    with pytest.raises(TypeError, match="`holes` must have `draw` and `paint`"):
        loaders(holes=(8, 24))


@pytest.mark.parametrize(("n", "held_out"), [(2, 1), (3, 1), (4, 1), (5, 1), (9, 1), (10, 2)])
def test_a_fifth_of_the_photos_validates_and_one_at_least(n, held_out):
    dls = inpainting_dataloaders(photos(n), size=16, holes=HOLES, verbose=False)
    assert (len(dls.train_ds.sources), len(dls.valid_ds.sources)) == (n - held_out, held_out)


def test_one_photo_cannot_be_split():
    with pytest.raises(ValueError, match="takes 0 of 1 images"):
        inpainting_dataloaders(photos(1), size=16, holes=HOLES)


def test_photos_for_a_test_are_shrunk_as_those_of_training():
    loaded = inpainting_dataloaders(WIDE, 16, HOLES, shrink=20, verbose=False)
    assert loaded.test_dl(WIDE).dataset.sources.sizes.tolist() == [[20, 30]] * 6


def test_a_fold_and_a_share_that_validates_exclude_each_other():
    for options in ({"fold": (0, 3), "valid": 0.5}, {"fold": 2}):
        with pytest.raises(ValueError, match=r"`fold` must be \(i, k\), instead of `valid`"):
            inpainting_dataloaders(WIDE, 16, HOLES, verbose=False, **options)


def test_a_photo_that_trains_and_validates_is_warned_of():
    with pytest.warns(UserWarning, match="image 2 and image 0 are the same photo"):
        inpainting_dataloaders(WIDE, 16, HOLES, valid=WIDE[2:3], verbose=False)
