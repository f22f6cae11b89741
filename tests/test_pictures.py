"""Collections of images in fastai: what a batch holds, what training draws, a plain Learner, export and load."""

import pytest
import torch
from fastai.learner import Learner, load_learner
from fastai.torch_core import set_seed
from learners import quiet
from torch import nn

from siren_fastai.data import PictureDataLoaders, PictureDataset, PictureDL, tile_dataloaders
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


def test_training_draws_anew_in_each_epoch_and_the_same_again_with_the_same_seed():
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
    learn.show_results()


def test_tiles_are_split_by_instance_and_gray_on_request():
    dls = tile_dataloaders(bs=32, count=168, gray=True)
    assert [len(dl.dataset) for dl in dls] == [160, 8] and dls.image_shape == (1, 32, 32)
    images, groups = tile_images(168)
    red, green, blue = images[groups % 21 == 20].double().unbind(1)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (dls.valid_ds.images[:, 0] - expected).abs().max() <= 0.5 + 1e-9
