"""The learner that fills holes: training lowers the loss, filling, results, files, export and load, checks."""

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import quiet, weights
from PIL import Image
from test_inpainting_data import HOLES, photos

from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.inpainting.data import inpainting_dataloaders
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.learner import inpainting_learner
from siren_fastai.inpainting.losses import InpaintingLoss
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.networks import ae_fc, unet
from siren_fastai.inpainting.scores import hole_psnr


def learner(path, model=None, channels=3, seed=0, **kwargs):
    set_seed(seed, reproducible=True)
    options = {"size": 16, "holes": HOLES, "bs": 8, "path": path, "verbose": False, "per_image": 4}
    dls = inpainting_dataloaders(photos(channels=channels), **options)
    model = unet(widths=(4, 8), channels=channels) if model is None else model
    return quiet(inpainting_learner(dls, model, **kwargs))


def hole():
    mask = np.ones((21, 30), dtype=bool)
    mask[5:12, 8:20] = False
    return mask


def photo(channels=3):
    return np.random.default_rng(1).integers(0, 256, (21, 30, channels), dtype=np.uint8)


def test_training_lowers_the_validation_loss_and_the_same_seed_gives_the_same_network(tmp_path):
    first, second = learner(tmp_path), learner(tmp_path)
    before = first.validate()[0]
    for learn in (first, second):
        learn.fit_one_cycle(3, 5e-3)
    assert first.validate()[0] < before
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))


def test_a_session_from_a_folder_of_photos_to_a_filled_one(tmp_path):
    for i in range(5):
        levels = np.random.default_rng(i).integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(levels).save(tmp_path / f"{i}.png")
    set_seed(42, reproducible=True)
    dls = inpainting_dataloaders(tmp_path, size=32, holes=Rectangles(1, 3, side=(4, 8)), bs=16, path=tmp_path)
    model = unet(last_skip=False, conv="gated", widths=(4, 8, 8))
    learn = quiet(inpainting_learner(dls, model, cbs=TrainingWheels()))
    learn.fit_one_cycle(2)
    learn.show_results()
    filled = learn.fill(photo(), hole())
    assert learn.dls.train_ds.epoch == 2 and filled.shape == (21, 30, 3)
    learn.export("session.pkl")
    assert torch.equal(load_learner(tmp_path / "session.pkl").fill(photo(), hole()), filled)


def test_the_network_never_sees_what_is_in_the_hole_of_its_training_images(tmp_path):
    class Look(Callback):
        def before_batch(self):
            image, mask = self.xb
            target, again = self.yb
            assert torch.equal(image, target * mask) and torch.equal(mask, again)
            assert image.shape[1:] == (3, 16, 16)
            self.learn.looked = True

    learn = learner(tmp_path, cbs=[Look()])
    learn.fit(1)
    assert learn.looked


def test_filling_is_that_of_the_network_for_one_image_or_many(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    learn.model.train()
    filled = learn.fill(photo(), hole())
    assert learn.model.training and torch.equal(filled, fill_image(learn.model, photo(), hole()))
    assert torch.equal(filled[hole()], torch.from_numpy(photo()).float()[hole()] / 255)
    many = learn.fill([photo(), photo()[:, ::-1].copy()], [hole(), hole()], flips=True)
    assert len(many) == 2 and torch.equal(many[0], learn.fill(photo(), hole(), flips=True))
    with pytest.raises(ValueError, match="a list of one for each of the 2 images, got one ndarray"):
        learn.fill([photo(), photo()], hole())
    with pytest.raises(ValueError, match="the mask has 20 x 30 pixels"):
        learn.fill(photo(), hole()[1:])


def test_results_are_drawn_from_images_evenly_spread(tmp_path):
    learn = learner(tmp_path)
    titles = ["target", "input", "filled", "error"]
    assert [ax.get_title() for ax in learn.show_results().axes[:4]] == titles
    assert [ax.get_title() for ax in learn.show_results(0, max_n=2, shuffle=True).axes[:4]] == titles
    assert learn.dls.train_ds.epoch == 0
    other = learn.show_results(dl=learn.dls.test_dl([photo()], holes=Rectangles(1, 1, side=(4, 4))))
    assert [ax.get_title() for ax in other.axes[:4]] == titles


def test_far_holes_of_a_large_photo_are_filled_one_after_the_other(tmp_path):
    learn, seen = learner(tmp_path), []
    learn.model.register_forward_pre_hook(lambda _, x: seen.append(x[0][0, 0].numel()))
    image = np.random.default_rng(0).integers(0, 256, (40, 900, 3), dtype=np.uint8)
    mask = np.ones((40, 900), bool)
    mask[10:20, [30, 31, 32, 850, 851]] = False
    assert torch.equal(learn.fill(image, mask)[mask], torch.from_numpy(image).float()[mask] / 255)
    assert len(seen) == 2 and max(seen) < 40 * 250


def test_a_saved_network_fills_the_same(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    path = learn.save_network(tmp_path / "net.safetensors", about={"epochs": 1})
    loaded = load_network(path)
    assert loaded.about == {"epochs": 1}
    assert torch.equal(fill_image(loaded, photo(), hole()), learn.fill(photo(), hole()))


def test_an_exported_learner_fills_and_says_what_is_missing(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    learn.export("fill.pkl")
    loaded = quiet(load_learner(tmp_path / "fill.pkl"))
    assert torch.equal(loaded.fill(photo(), hole()), learn.fill(photo(), hole()))
    with pytest.raises(ValueError, match="an exported learner keeps none"):
        loaded.show_results()
    with pytest.raises(ValueError, match="no samples to train on"):
        loaded.fit(1)


def test_metrics_get_the_mask_and_predictions_come_with_targets_and_masks(tmp_path):
    def hole_l1(pred, target, mask):
        hidden = (1 - mask).expand_as(pred)
        return ((pred - target).abs() * hidden).sum() / hidden.sum()

    learn = learner(tmp_path, metrics=[hole_l1])
    loss, error = learn.validate()
    preds, (target, mask) = learn.get_preds()
    assert error == pytest.approx(float(hole_l1(preds, target, mask)), rel=1e-4)  # one batch
    assert loss > 0 and len(preds) == len(learn.dls.valid.dataset)


def test_the_default_loss_and_metric_are_those_of_holes(tmp_path):
    learn = learner(tmp_path)
    loss, psnr = learn.validate()
    preds, (target, mask) = learn.get_preds()
    assert loss == pytest.approx(InpaintingLoss()(preds, target, mask).item(), rel=1e-5)
    assert learn.recorder.metric_names[2:4] == ["valid_loss", "hole_psnr"]
    assert psnr == pytest.approx(hole_psnr(preds, target, mask).mean().item(), rel=1e-5)


def test_holes_that_are_larger_than_the_network_sees_are_warned_of(tmp_path):
    set_seed(0, reproducible=True)
    dls = inpainting_dataloaders(photos(), size=16, holes=Rectangles(1, 1, side=(13, 14)), path=tmp_path, verbose=False)
    small = dict(widths=(4, 8), convs=1)
    with pytest.warns(UserWarning, match="up to 14 pixels wide, but a pixel of the network depends on 11 x 11 only"):
        inpainting_learner(dls, unet(**small))
    for better in (dict(dilation=(2,)), dict(attention=True), dict(prefill="smooth"), dict(convs=2)):
        inpainting_learner(dls, unet(**small | better))


def test_gray_photos_and_the_default_network(tmp_path):
    learn = learner(tmp_path, channels=1)
    learn.fit(1)
    assert learn.fill(photo(1)[..., 0], hole()).shape == (21, 30, 1)
    default = inpainting_learner(learn.dls)
    assert default.model.channels == 1 and default.model.settings["kind"] == "unet"


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: unet(widths=(4, 8), channels=1), "built for images of 1 channels, and these have 3: build it with"),
        (lambda: ae_fc(32, 8, widths=(4, 8)), "built for images of 32x32 pixels, and these have 16x16"),
    ],
)
def test_a_network_for_other_images_is_an_error_before_training(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        learner(tmp_path, model())


def test_what_fastai_has_and_holes_do_not_is_said_so(tmp_path):
    learn = learner(tmp_path)
    with pytest.raises(TypeError, match="use `learn.fill"):
        learn.predict(photo())
    with pytest.raises(TypeError, match="flips=True"):
        learn.tta()
    with pytest.raises(TypeError, match="as from `inpainting_dataloaders`"):
        inpainting_learner(object())


@pytest.mark.parametrize("conv", ["plain", "gated", "partial"])
def test_mixed_precision_trains_and_fills(conv, tmp_path):
    model = unet(widths=(4, 8), conv=conv, attention=True)
    learn = learner(tmp_path, model)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # what fastai's `to_bf16` does on a GPU
        before = learn.validate()[0]
        learn.fit_one_cycle(4, 5e-3)
        assert learn.validate()[0] < before
    assert learn.fill(photo(), hole()).dtype == torch.float32
    learn.model.bfloat16()
    filled = learn.fill(photo(), hole())
    assert filled.dtype == torch.float32
    assert torch.equal(filled[hole()], torch.from_numpy(photo()).float()[hole()] / 255)
