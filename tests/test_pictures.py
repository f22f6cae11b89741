"""Collections of images in fastai: what a batch holds, what training draws, a plain Learner, export and load."""

import pytest
import torch
from fastai.learner import Learner, load_learner
from fastai.torch_core import set_seed
from learners import quiet
from PIL import Image
from torch import nn

from siren_fastai.data import (
    PictureDataLoaders,
    PictureDataset,
    PictureDL,
    digits_dataloaders,
    glyphs_dataloaders,
    mixed_dataloaders,
    tile_dataloaders,
)
from siren_fastai.data.share import Share
from siren_fastai.datasets.augment import Augment
from siren_fastai.datasets.tiles import tile_images


def some_images(n=44, c=3, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, c, size, size), generator=generator, dtype=torch.uint8)


class Bottleneck(nn.Module):
    """A linear autoencoder."""

    def __init__(self, shape, code=8):
        super().__init__()
        self.shape, n = shape, shape[0] * shape[1] * shape[2]
        self.encoder, self.decoder = nn.Linear(n, code), nn.Linear(code, n)

    def forward(self, images):
        return torch.sigmoid(self.decoder(self.encoder(images.flatten(1)))).view(-1, *self.shape)


def picture_learner(path, **options):
    set_seed(1, reproducible=True)
    options = {"bs": 16, "size": None, "flip": True, "shift": 2, **options}
    dls = PictureDataLoaders.from_images(tile_images(84, size=16)[0], path=path, **options)
    return quiet(Learner(dls, Bottleneck(dls.image_shape), lr=0.01))


def test_a_batch_is_the_images_in_the_unit_range_and_its_own_target():
    images = some_images()
    data = PictureDataset(images)
    x, y = data[torch.tensor([3, 0])]
    assert torch.equal(x, images[[3, 0]] / 255) and y is x and x.dtype == torch.float32
    assert torch.equal(data[2:5][0], images[2:5] / 255)
    assert data.shape == (3, 16, 16) and len(data.new_empty()) == 0
    assert "44 images of 16x16, 3 channels" in repr(data)


def test_validation_is_fixed_and_the_middle_of_each_image():
    images = some_images(size=24)
    dls = PictureDataLoaders.from_images(images, crop=16, flip=True, shift=2, bs=10)
    first, second = (torch.cat([batch[0] for batch in dls.valid]) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, images[20::21, :, 4:20, 4:20] / 255)
    assert dls.image_shape == (3, 16, 16)


def test_every_epoch_is_augmented_differently_and_the_same_seed_repeats_it():
    def epochs(n=2):
        set_seed(3, reproducible=True)
        dls = PictureDataLoaders.from_images(some_images(), flip=True, shift=3, bs=10)
        return [torch.cat([batch[0] for batch in dls.train]) for _ in range(n)]

    first, second = epochs()
    assert first.shape == (42, 3, 16, 16) and not torch.equal(first.sort(0).values, second.sort(0).values)
    assert all(torch.equal(a, b) for a, b in zip(epochs(), (first, second), strict=True))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_see_parts_of_the_batches_that_one_process_sees(count):
    def batches(rank=0, count=1):
        set_seed(5, reproducible=True)
        data = PictureDataset(some_images(), Augment(0.5, 0.5, 2))
        dl = PictureDL(data, bs=12 // count, shuffle=True)
        dl.share = Share(rank, count)
        return [x for x, _ in dl]

    parts = [batches(rank, count) for rank in range(count)]
    for whole, *pieces in zip(batches(), *parts, strict=True):
        assert torch.equal(torch.cat(pieces), whole)


def test_a_plain_learner_learns_and_an_exported_one_keeps_no_image(tmp_path):
    learn = picture_learner(tmp_path)
    before = learn.validate()[0]
    learn.fit_one_cycle(6)
    assert learn.validate()[0] < before - 0.03
    assert "Total params" in str(learn.summary())
    learn.export("pictures.pkl")
    loaded = quiet(load_learner(tmp_path / "pictures.pkl"))
    assert [len(dl.dataset) for dl in loaded.dls] == [0, 0] and loaded.dls.image_shape == (3, 16, 16)
    others = some_images(5)
    preds, targets = loaded.get_preds(dl=loaded.dls.test_dl(others))
    assert torch.equal(targets, others / 255)
    torch.testing.assert_close(preds, learn.model.eval()(others / 255).detach())


def test_drawing_a_batch_and_results(tmp_path):
    learn = picture_learner(tmp_path)
    assert [ax.get_title() for ax in learn.dls.show_batch().axes] == ["batch"]
    learn.show_results(max_n=3)
    batch = learn.dls.valid.one_batch()
    figure = learn.dls.valid.show_results(batch, batch[0] + 0.5, max_n=3)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["target", "reconstruction", "error"]
    x, y, pairs, outs = learn.dls.valid.show_results(batch, batch[0] + 0.5, max_n=3, show=False)
    assert torch.equal(x, batch[0][:3]) and len(pairs) == len(outs) == 3 and float(outs[0][0].max()) <= 1


def test_training_images_are_seen_without_augmentation_on_request(tmp_path):
    learn = picture_learner(tmp_path, crop=12)
    plain = learn.get_preds(dl=learn.dls.test_dl(learn.dls.train_ds))[1]
    assert torch.equal(plain, learn.dls.train_ds.images[:, :, 2:14, 2:14] / 255)
    assert not torch.equal(learn.get_preds(ds_idx=0)[1], plain)


def test_a_folder_of_photos_becomes_square_images(tmp_path):
    for i, size in enumerate([(30, 40), (50, 20), (24, 24)] * 4):
        Image.new("RGB", size, (20 * i, 10, 200)).save(tmp_path / f"{i:02}.png")
    dls = PictureDataLoaders.from_images(tmp_path, size=16, valid=0.25, bs=5)
    assert [len(dl.dataset) for dl in dls] == [9, 3] and dls.image_shape == (3, 16, 16)
    assert dls.valid_ds.images[:, 0, 0, 0].tolist() == [60, 140, 220]
    assert [len(x) for x, _ in dls.train] == [5, 4]
    learn = Learner(dls, Bottleneck((3, 16, 16)))
    preds = learn.get_preds(dl=dls.test_dl([tmp_path / "03.png", tmp_path / "07.png"]))
    assert preds[1][:, 0, 0, 0].tolist() == pytest.approx([60 / 255, 140 / 255])


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(bs=0), ValueError, "`bs` must be an integer of 1 or more, got 0"),
        (dict(crop=40), ValueError, "`crop` must fit the images of 16x16 pixels, got 40x40"),
        (dict(crop=2.5), ValueError, "`crop` must be an integer of 1 or more pixels"),
        (dict(size=(3,)), ValueError, "`size` must be an integer of 1 or more pixels"),
        (dict(flip=0.4), ValueError, "`flip` must be True, False or two probabilities, got 0.4"),
        (dict(flip=(2, 0)), ValueError, "`flip` must be a probability"),
        (dict(shift=-1), ValueError, "`shift` must be an integer"),
        (dict(groups=torch.arange(3)), ValueError, r"`groups` must be \(44,\), one for each image, got \(3,\)"),
        (dict(valid=50), ValueError, "takes 0 of 44 images"),
        (dict(valid=some_images(4, c=1)), ValueError, "must have one shape, got .*: choose `channels`"),
        (dict(valid=[]), ValueError, "holds no images"),
        (dict(flp=True), TypeError, "flp"),
    ],
)
def test_bad_options_are_named_before_any_training(options, error, message):
    with pytest.raises(error, match=message):
        PictureDataLoaders.from_images(some_images(), **options)


def test_a_dataset_of_other_numbers_is_refused():
    with pytest.raises(TypeError, match=r"`images` must be \(n, c, h, w\) uint8, got \(2, 3, 4, 4\) of torch.float32"):
        PictureDataset(torch.rand(2, 3, 4, 4))


def test_a_mixture_has_the_images_of_all_in_their_own_ways():
    small, large = some_images(20, size=8), some_images(30, size=16, seed=1)
    parts = [
        PictureDataLoaders.from_images(small, valid=4, bs=5),
        PictureDataLoaders.from_images(large, valid=5, crop=8, flip=(1.0, 0.0), bs=5),
    ]
    dls = PictureDataLoaders.mixed(parts, bs=13)
    assert [len(dl.dataset) for dl in dls] == [15 + 24, 5 + 6] and dls.image_shape == (3, 8, 8)
    valid = torch.cat([x for x, _ in dls.valid])
    assert torch.equal(valid, torch.cat([small[3::4], large[4::5, :, 4:12, 4:12]]) / 255)
    seen = (torch.cat([x for x, _ in dls.train]) * 255).round().byte()
    assert len(seen) == 39
    windows = large.flip(3).unfold(2, 8, 1).unfold(3, 8, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * 64)
    known = {x.numpy().tobytes() for x in small.flatten(1)} | {x.numpy().tobytes() for x in windows}
    assert all(x.numpy().tobytes() in known for x in seen)
    assert sum(x.numpy().tobytes() in {y.numpy().tobytes() for y in small} for x in seen) == 15
    empty = dls.train_ds.new_empty()
    assert len(empty) == 0 and empty[:1][0].shape == (0, 3, 8, 8)
    with pytest.raises(ValueError, match="must give batches of one shape"):
        PictureDataLoaders.mixed([parts[0], PictureDataLoaders.from_images(large)])


def test_the_generated_collections_have_their_sizes_and_splits(tmp_path):
    digits = digits_dataloaders(bs=32)
    assert [len(dl.dataset) for dl in digits] == [1437, 360] and digits.image_shape == (1, 28, 28)
    glyphs = glyphs_dataloaders(count=28, cache=tmp_path)
    assert [len(dl.dataset) for dl in glyphs] == [24, 4] and glyphs.image_shape == (1, 28, 28)
    mixed = mixed_dataloaders(bs=8, tiles=84, fractals=21, gray=True, cache=tmp_path)
    assert [len(dl.dataset) for dl in mixed] == [80 + 20, 4 + 1] and mixed.image_shape == (1, 32, 32)
    assert len(list(tmp_path.iterdir())) == 3
    tiles = tile_dataloaders(count=84, cache=False)
    assert torch.equal(tiles.train_ds.images, tile_dataloaders(count=84, cache=tmp_path).train_ds.images)
    assert tiles.train_ds.augment is None
    notes = tile_dataloaders(count=84, shift=4, flip=True, cache=False)
    assert notes.train_ds.augment == Augment(0.4, 0.2, 4, (32, 32))


def test_tiles_are_split_by_instance_and_gray_on_request():
    dls = tile_dataloaders(bs=32, count=168, gray=True)
    assert [len(dl.dataset) for dl in dls] == [160, 8] and dls.image_shape == (1, 32, 32)
    images, groups = tile_images(168)
    red, green, blue = images[groups % 21 == 20].double().unbind(1)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (dls.valid_ds.images[:, 0] - expected).abs().max() <= 0.5 + 1e-9
