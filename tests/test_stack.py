"""Many networks in one Learner: each is what it would be alone, and none disturbs another."""

import copy
import math
import textwrap

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.training import GradientClip
from fastai.torch_core import set_seed
from learners import picture, quiet
from torch import nn

import siren_fastai.all as public
from siren_fastai import stacks
from siren_fastai.analysis.history import read_history
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.callbacks.watch_fit import WatchFit
from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.stacked import StackDL
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.images import save_image
from siren_fastai.init import apply_init_, center_output_
from siren_fastai.learner import siren_learner
from siren_fastai.models.features import add_features_
from siren_fastai.models.field import field_model
from siren_fastai.models.mlp import mlp_model
from siren_fastai.models.siren import siren_model
from siren_fastai.models.stack import stack_models, unstack_models
from siren_fastai.models.wire import GaborLayer
from siren_fastai.optimizers import adam, adamw, ranger
from siren_fastai.stacks.adam import StackedAdam
from siren_fastai.stacks.learner import StackLoss, stack_learner

pytestmark = pytest.mark.numerics

DIMS = [2, 12, 10, 3]
CASES = [(0, 1, 1e-3), (1, 33, 4e-3), (2, 38, 1e-2), (0, 20, 2e-3)]  # random seed, scheme, learning rate
KINDS = {
    "schemes": lambda: [apply_init_(siren_model(DIMS, bias=s != 20), s) for s in (1, 33, 38, 20)],
    "no biases": lambda: [siren_model(DIMS, bias=False) for _ in range(3)],
    "one": lambda: [siren_model(DIMS)],
    "final sine": lambda: [siren_model(DIMS, omega_0=omega, final="sine") for omega in (10, 30)],
    "relu": lambda: [mlp_model(2, 3, 8, 1, "relu") for _ in range(3)],
    "fields": lambda: [field_model(hidden_features=8, hidden_layers=1) for _ in range(2)],
}


def fit_parts(seed, scheme, dtype=torch.float32, image=None, **options):
    """The DataLoaders and the network of one fit, determined by its seed."""
    set_seed(seed, reproducible=True)
    image = picture(10, 9) if image is None else image
    dls = PixelDataLoaders.from_array(image, **{"bs": 32, "value_range": (0, 1)} | options)
    for data in (dls.train_ds, dls.valid_ds):
        data.coords, data.values = data.coords.to(dtype), data.values.to(dtype)
    model = apply_init_(siren_model(DIMS, bias=scheme != 20).to(dtype), scheme)
    return dls, center_output_(model, dls.train_ds.values)


def stacked(cases, dtype=torch.float32, **kwargs):
    options = {name: kwargs.pop(name) for name in ("image", "order", "off_grid", "valid") if name in kwargs}
    dls, models = zip(*(fit_parts(seed, scheme, dtype, **options) for seed, scheme, _ in cases), strict=True)
    return quiet(stack_learner(dls, models, lr=[lr for *_, lr in cases], **kwargs))


def alone(case, dtype=torch.float32, **kwargs):
    seed, scheme, lr = case
    options = {name: kwargs.pop(name) for name in ("image", "order", "off_grid", "valid") if name in kwargs}
    dls, model = fit_parts(seed, scheme, dtype, **options)
    return quiet(siren_learner(dls, model, lr=lr, **kwargs))


def assert_same_weights(network, expected, **tolerance):
    pairs = zip(network.state_dict().items(), expected.state_dict().items(), strict=True)
    for (name, ours), (other, theirs) in pairs:
        assert name == other
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_outputs_and_gradients_are_those_of_each_network(kind, shared):
    models = [model.double() for model in KINDS[kind]()]
    stack, n = stack_models(models), len(models)
    coords = torch.rand(20, 2, dtype=torch.double) if shared else torch.rand(20, n, 2, dtype=torch.double)
    output = stack(coords)
    assert output.shape == (20, n, 3)
    output.square().mean((0, 2)).sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(stack(coords), output)
    for i, model in enumerate(models):
        own = model(coords if shared else coords[:, i])
        own.square().mean().backward()
        torch.testing.assert_close(output[:, i], own)
        for name, parameter in model.named_parameters():
            grad = stack.get_parameter(name.removeprefix("net.")).grad[i].reshape(parameter.shape)
            torch.testing.assert_close(grad, parameter.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_unstacking_gives_back_what_was_stacked(kind):
    models, x = KINDS[kind](), torch.rand(5, 2)
    for model, original in zip(unstack_models(stack_models(models)), models, strict=True):
        assert type(model) is type(original) and all(p.requires_grad for p in model.parameters())
        assert_same_weights(model, original, rtol=0, atol=0)
        torch.testing.assert_close(model(x), original(x))


def test_a_stack_holds_copies_and_leaves_the_networks_alone():
    model = siren_model(DIMS)
    before, stack = copy.deepcopy(model), stack_models([model, model])
    nn.init.zeros_(stack[0].linear.weight)
    assert_same_weights(model, before, rtol=0, atol=0)


def test_a_step_of_a_stack_mixes_no_devices_and_asks_for_no_number():
    """On the device "meta", which has shapes but no numbers, either would be an error: so a GPU never waits."""
    models = [apply_init_(siren_model(DIMS, bias=s != 20), s) for s in (1, 33, 20)]
    stack = stack_models(models).to("meta")
    optimizer, loss = StackedAdam(stack.parameters(), [1.0, 0.5, 2.0], weight_decay=0.1), StackLoss()
    for _ in range(2):
        loss(stack(torch.rand(6, 3, 2, device="meta")), torch.rand(6, 3, 3, device="meta")).backward()
        optimizer.step()
    assert loss.each.shape == (3,) and stack(torch.rand(6, 2, device="meta")).is_meta


def test_derivatives_of_a_stack_pass_gradcheck_twice():
    stack = stack_models([siren_model([2, 3, 1], omega_0=2.0).double() for _ in range(2)])
    x = torch.randn(3, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(stack, x)
    assert torch.autograd.gradgradcheck(stack, x)


def test_a_saved_state_restores_omega_and_gain():
    source, target = (
        stack_models([apply_init_(siren_model(DIMS), s) for s in schemes]) for schemes in ((33, 38), 2 * (1,))
    )
    target.load_state_dict(source.state_dict())
    x = torch.rand(6, 2)
    torch.testing.assert_close(target(x), source(x))
    assert [network[1].omega_0 for network in unstack_models(target)] == [30.0, 40.0]


@pytest.mark.parametrize("wd, decoupled", [(0.0, False), (0.1, False), (0.1, True)])
def test_stacked_adam_takes_the_steps_of_pytorchs_adam_at_each_rate(wd, decoupled):
    start, rates = torch.randn(3, 4, 2, dtype=torch.double), [1.0, 0.1, 3.0]
    ours = nn.Parameter(start.clone())
    theirs = [nn.Parameter(part.clone()) for part in start]
    optimizers = [StackedAdam([ours], rates, lr=0.01, weight_decay=wd, decoupled=decoupled)]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    pairs = zip(theirs, rates, strict=True)
    optimizers += [kind([part], lr=0.01 * rate, weight_decay=wd) for part, rate in pairs]
    for step in range(8):
        for i, part in enumerate(theirs):
            part.grad = torch.randn(4, 2, dtype=torch.double) * (step + i)
        ours.grad = torch.stack([part.grad for part in theirs])
        for optimizer in optimizers:
            optimizer.param_groups[0]["betas"] = (0.9 - 0.01 * step, 0.999)  # as a schedule of the momentum does
            optimizer.step()
    torch.testing.assert_close(ours.data, torch.stack([part.data for part in theirs]), rtol=1e-12, atol=1e-12)


class ShownInFloat32(Callback):
    """fastai's Recorder, which smooths the loss that it shows, takes no float64."""

    def after_batch(self):
        self.learn.loss = self.loss.float()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"opt_func": adam},
        {"opt_func": adamw, "wd": 0.1},
        {"wd": 0.01},
        {"order": "hilbert"},
        {"valid": 0.2},
        {"frozen": "0.*"},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_a_stack_of_different_seeds_schemes_and_rates_equals_the_single_fits(options):
    cbs = [ShownInFloat32(), *([FreezeLayers("0.*")] if "frozen" in options else [])]
    options = {name: value for name, value in options.items() if name != "frozen"} | {"cbs": cbs}
    learn = stacked(CASES, torch.float64, **options)
    learn.fit_fast(3)
    learn.fit(1)
    for network, case in zip(learn.networks, CASES, strict=True):
        single = alone(case, torch.float64, **options)
        single.fit_fast(3)
        single.fit(1)
        assert_same_weights(network, single.model, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("cases", [CASES, [(seed, 1, 1e-3) for seed in range(3)]], ids=["rates", "one rate"])
def test_in_float32_psnr_and_loss_of_each_network_are_those_of_its_single_fit(cases):
    learn = stacked(cases)
    learn.fit_fast(3)
    for i, case in enumerate(cases):
        single = alone(case, cbs=MetricHistory())
        single.fit_fast(3)
        ours, theirs = learn.stack_history.to_frame(i), single.metric_history.to_frame()
        assert len(ours) == 3
        for column in ("epoch", "fit", "opt_steps", "samples_seen"):
            assert list(ours[column]) == list(theirs[column])
        np.testing.assert_allclose(ours.psnr, theirs.psnr, atol=0.01)
        np.testing.assert_allclose(ours.valid_loss, theirs.valid_loss, rtol=1e-3)
        np.testing.assert_allclose(ours.lr, theirs.lr, rtol=1e-6)
        assert_same_weights(learn.networks[i], single.model, rtol=1e-3, atol=1e-4)


def test_networks_may_fit_different_images():
    images, cases = [picture(10, 9), 1 - picture(10, 9)], CASES[:2]
    parts = [fit_parts(seed, scheme, image=image) for (seed, scheme, _), image in zip(cases, images, strict=True)]
    learn = quiet(stack_learner(*zip(*parts, strict=True), lr=2e-3))
    learn.fit_fast(3)
    for i, image in enumerate(images):
        single = alone((*cases[i][:2], 2e-3), image=image, cbs=MetricHistory())
        single.fit_fast(3)
        ours, theirs = learn.stack_history.to_frame(i), single.metric_history.to_frame()
        np.testing.assert_allclose(ours.psnr, theirs.psnr, atol=0.01)


def test_one_dataloaders_gives_all_networks_the_same_batches():
    dls, model = fit_parts(3, 33)
    learn = quiet(stack_learner(dls, [model, copy.deepcopy(model)], lr=[1e-3, 1e-3]))
    learn.fit_fast(2)
    single = alone((3, 33, 1e-3))
    single.fit_fast(2)
    for network in learn.networks:
        assert_same_weights(network, single.model, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"order": "raster"}, {"off_grid": True}], ids=["random", "raster", "off_grid"])
@pytest.mark.parametrize("same", [True, False], ids=["one image", "two images"])
def test_batches_are_those_of_each_loader_in_its_order(options, same):
    def loaders():
        images = (picture(10, 9), picture(10, 9) if same else 1 - picture(10, 9))
        return [fit_parts(seed, 1, image=image, **options)[0].train for seed, image in enumerate(images)]

    together, one_by_one = StackDL(loaders()), loaders()
    assert len(together) == len(one_by_one[0])
    for _ in range(2):
        for batch, *own in zip(together, *one_by_one, strict=True):
            for i, (coords, values) in enumerate(own):
                x, y = batch
                assert torch.equal(x if x.dim() == 2 else x[:, i], coords)
                assert torch.equal(y if y.dim() == 2 else y[:, i], values)


@pytest.mark.parametrize("orders", [("raster", "random"), ("random", "raster")])
def test_each_loader_keeps_its_order_where_one_goes_in_sequence(orders):
    def loaders():
        return [fit_parts(seed, 1, order=order)[0].train for seed, order in enumerate(orders)]

    for (x, y), *own in zip(StackDL(loaders()), *loaders(), strict=True):
        for i, (coords, values) in enumerate(own):
            assert torch.equal(x[:, i], coords) and torch.equal(y if y.dim() == 2 else y[:, i], values)


def test_loaders_that_leave_out_different_samples_do_not_stack():
    raster = fit_parts(0, 1, order="raster")[0].train
    assert len(raster.new(bs=40, drop_last=True)) == len(raster.new(bs=45))
    with pytest.raises(ValueError, match="number 1 has"):
        StackDL([raster.new(bs=40, drop_last=True), raster.new(bs=45)])


def test_a_network_that_diverges_leaves_the_others_as_they_are():
    calm, wild = CASES[:2], (5, 1, 1e30)
    learn = stacked([*calm, wild])
    learn.fit_fast(4)
    assert not all(p.isfinite().all() for p in learn.networks[2].parameters())
    last = learn.stack_history.to_frame(2).iloc[-1]
    assert math.isnan(last.psnr) and math.isnan(last.valid_loss)
    for i, case in enumerate(calm):
        single = alone(case, cbs=MetricHistory())
        single.fit_fast(4)
        assert learn.stack_history.to_frame(i).psnr.iloc[-1] == pytest.approx(single.final_record[-1], abs=0.01)


def test_predictions_validation_and_lr_find_work_and_change_no_weights(tmp_path):
    learn = stacked(CASES, path=tmp_path)
    learn.fit_fast(1)
    before, rows = [copy.deepcopy(network) for network in learn.networks], len(learn.stack_history.rows)
    predictions, targets = learn.get_preds()
    assert predictions.shape == (90, 4, 3)
    torch.testing.assert_close(predictions[:, 2], before[2](learn.dls.valid_ds.coords))
    learn.validate()
    learn.lr_find(num_it=8, show_plot=False)
    assert len(learn.stack_history.rows) == rows
    for network, expected in zip(learn.networks, before, strict=True):
        assert_same_weights(network, expected, rtol=0, atol=0)


def test_the_session_of_the_packages_docstring_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for path in ("cat.png", "photos/a.png", "photos/b.png"):
        save_image(torch.as_tensor(picture(16, 16)), tmp_path / path)
    text = textwrap.dedent(stacks.__doc__.partition("\n\n")[2]).replace("size=64", "size=16").replace("64,", "8,")
    names = dict(vars(public))
    first, second = text.replace("fit_fast(20)", "fit_fast(2)").split("\n\n")
    exec(first, names)
    assert len(names["learn"].stack_history.rows) == 6
    assert names["learn"].single(1).render().shape == (16, 16, 3)
    exec(second, names)
    assert sorted(path.name for path in tmp_path.glob("fields/*.safetensors")) == ["a.safetensors", "b.safetensors"]


def test_one_network_of_a_stack_is_rendered_saved_and_opened_like_any_other(tmp_path):
    learn = stacked(CASES)
    learn.fit_fast(1)
    for i in range(len(CASES)):
        path = save_checkpoint(learn.single(i), tmp_path / f"{i}.siren")
        torch.testing.assert_close(load_checkpoint(path).render(), learn.single(i).render())
    psnr = learn.stack_history.to_frame(1).psnr.iloc[-1]
    assert quiet(learn.single(1)).validate()[1] == pytest.approx(psnr, abs=1e-3)


def test_the_history_of_one_network_is_read_as_any_fits_history(tmp_path):
    learn = stacked(CASES)
    learn.fit_fast(2)
    history = read_history(learn.stack_history.to_csv(tmp_path / "history.csv", network=2))
    expected = learn.stack_history.to_frame(2)
    assert list(history["Epoch"]) == [0, 1]
    np.testing.assert_allclose(history["train_loss(MSE)"], expected.valid_loss)
    np.testing.assert_allclose(history["train_psnr (db)"], expected.psnr)


def with_features():
    return add_features_(siren_model([2, 8, 3]), torch.zeros(4, 4, 1))


class DoubledLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled():
    model = siren_model([2, 8, 3])
    model[0].linear = DoubledLinear(2, 8)
    return model


def wire_like():
    return nn.Sequential(GaborLayer(2, 8, 20.0, 30.0, True), nn.Linear(8, 3))


@pytest.mark.parametrize("rates", [np.array([1e-3, 2e-3, 4e-3]), torch.tensor([1e-3, 2e-3, 4e-3]), (1e-3, 2e-3, 4e-3)])
def test_rates_may_be_an_array_or_a_tensor(rates):
    dls, model = fit_parts(0, 1)
    learn = quiet(stack_learner(dls, [model] * 3, lr=rates))
    assert learn.lr == pytest.approx(4e-3) and learn.rates == pytest.approx([0.25, 0.5, 1])
    for one in (np.float32(1e-3), np.array(1e-3), torch.tensor(1e-3)):
        learn = quiet(stack_learner(dls, [model] * 3, lr=one))
        assert learn.lr == pytest.approx(1e-3) and learn.rates == [1, 1, 1]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: stack_models([]), ValueError, "at least one network"),
        (lambda: stack_models([siren_model([2, 8, 3]), siren_model([2, 9, 3])]), ValueError, "one shape: number 0"),
        (lambda: stack_models([siren_model([2, 8, 3]), siren_model([2, 8, 3]).double()]), ValueError, "float64"),
        (lambda: stack_models([wire_like()]), TypeError, "GaborLayer: fit these one by one"),
        (lambda: stack_models([doubled()]), TypeError, "got DoubledLinear"),
        (lambda: stack_models([nn.Linear(2, 3)]), TypeError, "sequences of layers, got Linear"),
        (lambda: stack_models([with_features()]), TypeError, "sequences of layers, got FeatureInput"),
        (lambda: stack_models([siren_model([2, 8, 3])] * 2)(torch.rand(4, 3, 2)), ValueError, r"\(b, 2, d\)"),
        (lambda: stack_learner([], [siren_model(DIMS)]), ValueError, "at least one DataLoaders"),
        (lambda: stack_learner([fit_parts(0, 1)[0]], [siren_model(DIMS)] * 2), ValueError, "as the 2 networks, got 1"),
        (lambda: stack_learner(fit_parts(0, 1)[0], [siren_model(DIMS)], lr=[1, 2]), ValueError, "`lr` must be one"),
        (lambda: stack_learner(fit_parts(0, 1)[0], [siren_model(DIMS)], lr=0), ValueError, "`lr` must be above 0"),
        (
            lambda: stack_learner(fit_parts(0, 1)[0], [siren_model(DIMS)], lr=np.ones((1, 2))),
            ValueError,
            r"of shape \(1, 2\)",
        ),
        (lambda: stack_learner(fit_parts(0, 1)[0], [siren_model([2, 8, 1])]), ValueError, "to 3 channels"),
        (lambda: StackDL([fit_parts(0, 1, bs=b)[0].train for b in (20, 32)]), ValueError, "number 1 has"),
        (lambda: stacked(CASES, opt_func=ranger), ValueError, "`opt_func` must be one of adam, adamw, fast_adam"),
        (lambda: stacked(CASES, cbs=GradientClip()), ValueError, "`GradientClip` would .* disturb each other"),
        (lambda: stacked(CASES, cbs=TrainingWheels()), ValueError, "`TrainingWheels` would .* disturb each other"),
        (lambda: stacked(CASES).predict([0.0, 0.0]), TypeError, "single"),
        (lambda: stacked(CASES).to_html("a.html"), TypeError, "single"),
        (lambda: stacked(CASES, cbs=QuantizeAware), ValueError, "`QuantizeAware` would .* disturb each other"),
        (lambda: stacked(CASES, cbs=[QuantizeAware(5)]), ValueError, "`QuantizeAware` would .* disturb each other"),
        (lambda: stacked(CASES, cbs=WatchFit("a.webp")), ValueError, "`WatchFit` renders one network"),
    ],
)
def test_what_does_not_stack_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
