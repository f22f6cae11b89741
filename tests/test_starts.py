"""Learned starts: the steps against written-out loops, meta-gradients, learning on a toy family, files and Learners."""

import copy
import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from fastai.learner import load_learner
from torch import nn

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.coords import grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.fit import fit_image
from siren_fastai.fits.settings import FitSettings
from siren_fastai.images import save_image
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.models.field import field_model, siren_field
from siren_fastai.models.siren import sine_layers, siren_model
from siren_fastai.optimizers import learned_sgd
from siren_fastai.starts.files import load_start, save_start
from siren_fastai.starts.learning import learn_start
from siren_fastai.starts.start import apply_start_
from siren_fastai.starts.steps import as_values, errors, take_steps

pytestmark = pytest.mark.numerics

DIMS = [2, 8, 8, 1]


def blobs(n, seed, size=8):
    """A toy family: smooth blobs at random places, (n, 1, size, size) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(n, 1, 2, generator=generator) - 0.5
    distance = (grid_coords((size, size)) - centres).square().sum(2)
    return torch.exp(-4 * distance).view(n, 1, size, size)


@pytest.fixture
def model():
    return apply_init_(siren_model(DIMS, omega_0=10.0), "siren", torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def start():
    model = apply_init_(siren_model(DIMS, omega_0=10.0), "siren", torch.Generator().manual_seed(0))
    return learn_start(blobs(24, 1), model, 2, meta_steps=40, bs=8, lr=3e-3, family="blobs")


def test_steps_equal_a_loop_of_autograd_for_each_image(model):
    model, values = model.double(), as_values(blobs(3, 2)).double()
    coords = grid_coords((8, 8)).double()
    rates = {name: torch.rand(2, dtype=torch.double) * 0.05 for name, _ in model.named_parameters()}
    ours = take_steps(model, dict(model.named_parameters()), rates, coords, values, 3)
    for index, target in enumerate(values):
        single = copy.deepcopy(model)
        for step in (0, 1, 1):  # the third step takes the last rates again
            loss = (single(coords) - target).square().mean()
            gradients = torch.autograd.grad(loss, list(single.parameters()))
            with torch.no_grad():
                for (name, weight), gradient in zip(single.named_parameters(), gradients, strict=True):
                    weight -= rates[name][step] * gradient
        for name, weight in single.named_parameters():
            torch.testing.assert_close(ours[name][index], weight)
        error = errors(model, {name: weight[index : index + 1] for name, weight in ours.items()}, coords, target[None])
        torch.testing.assert_close(error[0], (single(coords) - target).square().mean())


def test_the_meta_gradients_of_a_linear_model_have_their_closed_form():
    """With the loss |Xw - y|^2 / p, A = 2 X^T X / p and w' = w - r g: dL'/dw = (I - r A) g' and dL'/dr = -g . g'."""
    torch.manual_seed(0)
    model = nn.Linear(2, 1, bias=False).double()
    coords, values = torch.randn(20, 2, dtype=torch.double), torch.randn(1, 20, 1, dtype=torch.double)
    weight = model.weight.detach().clone().requires_grad_()
    rate = torch.tensor([0.2], dtype=torch.double, requires_grad=True)
    moved = take_steps(model, {"weight": weight}, {"weight": rate}, coords, values, 1)
    by_weight, by_rate = torch.autograd.grad(errors(model, moved, coords, values).sum(), [weight, rate])
    with torch.no_grad():
        curvature, pull = 2 * coords.T @ coords / 20, 2 * coords.T @ values[0, :, 0] / 20
        before = curvature @ weight[0] - pull
        after = curvature @ (weight[0] - rate * before) - pull
        torch.testing.assert_close(by_weight[0], after - rate * curvature @ after)
        torch.testing.assert_close(by_rate[0], -before @ after)


def mean_error(model, weights, rates, images, steps):
    coords, values = grid_coords(images.shape[2:]), as_values(images)
    return errors(model, take_steps(model, weights, rates, coords, values, steps), coords, values).mean().item()


def test_learning_lowers_the_error_after_its_steps_on_images_it_never_saw(model, start):
    unseen = blobs(16, 3)
    plain = {name: torch.tensor([0.03]) for name in start.weights}
    before = mean_error(model, dict(model.named_parameters()), plain, unseen, 2)
    assert mean_error(model, start.weights, start.rates, unseen, 2) < before / 5
    assert mean_error(model, start.weights, start.rates, unseen, 2) < mean_error(
        model, start.weights, start.rates, unseen, 1
    )


def test_learning_depends_on_the_seed_alone_and_leaves_the_model_as_it_was(model):
    before = copy.deepcopy(model.state_dict())
    runs = []
    for seed in (0, 0, 1):
        torch.rand(1)  # the global random state doesn't matter
        runs.append(learn_start(blobs(6, 1), model, 1, meta_steps=3, bs=2, seed=seed).weights["0.linear.weight"])
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_bytes_and_floats_are_the_same_images(model):
    images = (blobs(4, 1) * 255).round().to(torch.uint8)
    first, second = (learn_start(each, model, 1, meta_steps=2).weights for each in (images, images.float() / 255))
    torch.testing.assert_close(first, second)


def test_progress_is_given_every_meta_step(model):
    seen = []
    learn_start(blobs(4, 1), model, 1, meta_steps=3, progress=lambda step, psnr: seen.append((step, psnr > 0)))
    assert seen == [(0, True), (1, True), (2, True)]


def test_a_file_holds_the_whole_start(start, tmp_path):
    path = save_start(start, tmp_path / "new" / "blobs.safetensors")
    loaded = load_start(path)
    assert loaded.weights.keys() == start.weights.keys() and loaded.rates.keys() == start.rates.keys()
    torch.testing.assert_close(loaded.weights, start.weights, rtol=0, atol=0)
    torch.testing.assert_close(loaded.rates, start.rates, rtol=0, atol=0)
    for name in ("model", "sines", "size", "steps", "family", "about"):
        assert getattr(loaded, name) == getattr(start, name)
    x = grid_coords((4, 4))
    torch.testing.assert_close(loaded.network()(x), apply_start_(siren_model(DIMS), start)(x))


def test_a_start_sets_omega_and_gain_and_serves_a_field_too(start):
    model, field = siren_model(DIMS, omega_0=30.0), siren_field(siren_model(DIMS))
    x = grid_coords((4, 4))
    torch.testing.assert_close(apply_start_(model, start)(x), apply_start_(field, start)(x))
    assert model[0].omega_0 == field.net[0].omega_0 == 10.0


@pytest.mark.parametrize("dims", [[2, 8, 8, 3], [2, 16, 8, 1], [2, 8, 1], [2, 8, 8, 8, 1]])
def test_another_network_is_rejected_and_stays_as_it_is(dims, start):
    model = siren_model(dims)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="a start for blobs of 8x8.*`model` has other layers.*start.network"):
        apply_start_(model, start)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def damaged(path, change):
    """Write the file again after `change(header, tensors)`."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["siren_fastai"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    change(header, tensors)
    safetensors.torch.save_file(tensors, path, {"siren_fastai": json.dumps(header)})


HOSTILE = {
    "another format": lambda header, tensors: header.update(format="siren_fastai checkpoint"),
    "a later version": lambda header, tensors: header.update(version=2),
    "no network": lambda header, tensors: header.pop("model"),
    "another network": lambda header, tensors: header["model"]["layers"].pop(),
    "a huge network": lambda header, tensors: header.update(model={"kind": "siren", "hidden_layers": 10**9}),
    "a missing weight": lambda header, tensors: tensors.pop("weights.2.weight"),
    "a missing rate": lambda header, tensors: tensors.pop("rates.2.weight"),
    "another shape": lambda header, tensors: tensors.update({"weights.2.weight": torch.zeros(3)}),
    "other steps": lambda header, tensors: tensors.update({"rates.2.weight": torch.zeros(3)}),
    "no steps": lambda header, tensors: tensors.update({n: torch.zeros(0) for n in tensors if n.startswith("rates")}),
    "no names": lambda header, tensors: header.update(names=[], model={"layer": "sequential", "layers": []}, sines=[]),
    "a number that isn't one": lambda header, tensors: tensors["weights.2.weight"].fill_(float("nan")),
    "half precision": lambda header, tensors: tensors.update({"rates.2.weight": torch.zeros(2).half()}),
    "an impossible omega": lambda header, tensors: header.update(sines=[[-1.0, 1.0]] * 2),
    "too few sines": lambda header, tensors: header.update(sines=[[10.0, 1.0]]),
    "an impossible size": lambda header, tensors: header.update(size=[0, 8]),
    "names that aren't a list": lambda header, tensors: header.update(names=7),
    "a header that isn't an object": lambda header, tensors: header.update(about=3),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_a_clear_error(change, start, tmp_path):
    path = save_start(start, tmp_path / "blobs.safetensors")
    damaged(path, change)
    with pytest.raises(ValueError, match="'.*blobs.safetensors' is not a start that `save_start` wrote"):
        load_start(path)


def test_files_of_other_kinds_are_clear_errors(tmp_path, start):
    (tmp_path / "text.safetensors").write_text("no tensors")
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    for name in ("text", "foreign"):
        with pytest.raises(ValueError, match=f"{name}.safetensors' is not a start"):
            ApplyInit(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError):
        ApplyInit("nowhere.safetensors")
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        save_start(start, tmp_path / "blobs.pt")


@pytest.mark.parametrize(
    "images, error, message",
    [
        (blobs(2, 0).numpy(), TypeError, "must be a tensor"),
        (blobs(2, 0).long(), TypeError, "uint8, or of floats"),
        (blobs(2, 0)[0], ValueError, r"must be \(n, c, h, w\)"),
        (blobs(2, 0)[:0], ValueError, "at least one image"),
        (blobs(2, 0) * 255, ValueError, r"must be in \[0, 1\]"),
        (blobs(2, 0) * float("nan"), ValueError, r"must be in \[0, 1\]"),
        (blobs(2, 0).expand(-1, 3, -1, -1), ValueError, r"give \(p, 3\)"),
    ],
)
def test_bad_images_are_rejected_before_any_learning(images, error, message, model):
    with pytest.raises(error, match=message):
        learn_start(images, model, progress=lambda *_: pytest.fail("it learned"))


@pytest.mark.parametrize("name", ["inner_steps", "meta_steps", "bs"])
def test_numbers_below_one_are_rejected(name, model):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of 1 or more, got 0"):
        learn_start(blobs(2, 0), model, **{name: 0})


@pytest.mark.parametrize("name, value", [("lr", 0.0), ("lr", float("nan")), ("rate", -1.0), ("rate", float("inf"))])
def test_rates_must_be_above_zero(name, value, model):
    with pytest.raises(ValueError, match=f"`{name}` must be above 0 and finite"):
        learn_start(blobs(2, 0), model, **{name: value})


def test_a_network_with_numbers_that_a_start_does_not_hold_is_rejected():
    with pytest.raises(ValueError, match="numbers that are fixed"):
        learn_start(blobs(2, 0), field_model("fourier", n_out=1, hidden_features=8, hidden_layers=1))


def test_learning_that_diverges_says_what_to_lower(model):
    with pytest.raises(ValueError, match="diverged at meta-step 0: lower `rate`"):
        learn_start(blobs(2, 0), model, 3, meta_steps=2, rate=1e30)


def fit(start, scheme, epochs, target, **kwargs):
    dls = PixelDataLoaders.from_image(target, bs=64)
    learn = siren_learner(dls, siren_model(DIMS), cbs=ApplyInit(scheme), **kwargs)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, 1.0)
    return learn


def test_two_epochs_in_a_learner_are_the_two_steps_of_the_start(start, tmp_path):
    path, images = save_start(start, tmp_path / "blobs.safetensors"), blobs(1, 5)
    learn = fit(start, str(path), 2, images[0].permute(1, 2, 0).numpy(), opt_func=learned_sgd(path))
    coords, values = grid_coords((8, 8)), as_values(images)
    expected = take_steps(learn.model, start.weights, start.rates, coords, values, 2)
    for name, weight in learn.model.named_parameters():
        torch.testing.assert_close(weight, expected[name][0])


def test_later_epochs_go_on_with_the_last_rates_also_after_saving(start, tmp_path):
    image = blobs(1, 5)[0].permute(1, 2, 0).numpy()
    whole = fit(start, start, 4, image, opt_func=learned_sgd(start), path=tmp_path)
    parts = fit(start, start, 3, image, opt_func=learned_sgd(start), path=tmp_path)
    parts.save("part")
    again = fit(start, start, 1, image, opt_func=learned_sgd(start), path=tmp_path)
    again.load("part")
    with again.no_bar(), again.no_logging():
        again.fit(1, 1.0)
    torch.testing.assert_close(again.model.state_dict(), whole.model.state_dict())


def test_a_learner_with_a_start_is_exported(start, tmp_path):
    learn = fit(start, start, 1, blobs(1, 5)[0].permute(1, 2, 0).numpy(), opt_func=learned_sgd(start), path=tmp_path)
    learn.export("learn.pkl")
    torch.testing.assert_close(load_learner(tmp_path / "learn.pkl").render(), learn.render())


def test_a_fit_takes_the_file_as_its_scheme(start, tmp_path):
    path = save_start(start, tmp_path / "blobs.safetensors")
    save_image(blobs(1, 5)[0].permute(1, 2, 0), tmp_path / "blob.png")
    sizes = dict(hidden_features=8, hidden_layers=1, epochs=0, device="cpu")
    settings = FitSettings(tmp_path / "blob.png", tmp_path / "run", scheme=str(path), **sizes)
    model = fit_image(settings, say=lambda line: None).checkpoint.model
    for name, weight in model.net.named_parameters():
        torch.testing.assert_close(weight, start.weights[name], rtol=0, atol=0)
    assert [layer.omega_0 for layer in sine_layers(model)] == [10.0, 10.0]
    with pytest.raises(ValueError, match="`model` has other layers"):
        fit_image(replace(settings, hidden_features=9, folder=tmp_path / "other"), say=lambda line: None)


def test_the_rates_reject_another_network_and_schedules_of_momentum(start):
    image = blobs(1, 5)[0].permute(1, 2, 0).numpy()
    learn = fit(start, start, 1, image, opt_func=learned_sgd(start))
    with pytest.raises(ValueError, match="without momentum"), learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1.0)
    dls = PixelDataLoaders.from_image(image, bs=64)
    with pytest.raises(ValueError, match="rates for 6 parameters, and the network has 4"):
        siren_learner(dls, siren_model([2, 4, 1]), opt_func=learned_sgd(start)).fit(1, 1.0)
