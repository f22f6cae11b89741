"""The same on every device: each test runs on the processor and, where there is one, on a CUDA device.

`pytest -m cuda` runs the second kind alone.
"""

import copy
import math

import numpy as np
import pytest
import torch
from cli_runs import picture_file
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from learners import picture, quiet, small_autoencoder
from torch.utils._python_dispatch import TorchDispatchMode

from siren_fastai.analysis.history import read_history
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.cluster_features import ClusterFeatures
from siren_fastai.callbacks.count_samples import CountSamples
from siren_fastai.callbacks.curriculum import Curriculum
from siren_fastai.callbacks.diagnose import Diagnose
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.sample_positions import SamplePositions
from siren_fastai.callbacks.save_picture_at import SavePictureAt
from siren_fastai.callbacks.smooth_hole import SmoothHole
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.compress import compress
from siren_fastai.data import PictureDataLoaders, PixelDataLoaders
from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.default_model import fast_model
from siren_fastai.distances.data import SurfaceDataLoaders
from siren_fastai.distances.learner import distance_learner
from siren_fastai.distances.shapes import ball, surface_points
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.fits.fit import fit_image
from siren_fastai.fits.settings import FitSettings
from siren_fastai.gradient_learner import gradient_learner
from siren_fastai.init import apply_init_
from siren_fastai.inpainting.coordinates import siren_filling
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR, SSIM
from siren_fastai.models.derivatives import GradientOf, LaplacianOf
from siren_fastai.models.features import add_features_
from siren_fastai.models.siren import siren_model
from siren_fastai.models.stack import stack_models
from siren_fastai.names import MODEL_KINDS, OPTIMIZER_NAMES
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.quantize.quantizers import fake_quantize
from siren_fastai.quantize.rate import RatePenalty, estimated_bits
from siren_fastai.render import render
from siren_fastai.sirn.decode import decompress, models_of, read_file
from siren_fastai.stacks.adam import StackedAdam
from siren_fastai.stacks.learner import StackLoss, stack_learner

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, NO_CUDA])]
DIMS = [2, 16, 16, 3]
CALLBACKS = {
    "ApplyInit": lambda path: ApplyInit("siren"),
    "ClusterFeatures": lambda path: ClusterFeatures(3),
    "CountSamples": lambda path: CountSamples(70),
    "Curriculum": lambda path: Curriculum("train.bs", {0: 16, 0.5: 32}),
    "Diagnose": lambda path: Diagnose(),
    "FreezeLayers": lambda path: FreezeLayers("0.*"),
    "MetricHistory": lambda path: MetricHistory(),
    "QuantizeAware": lambda path: QuantizeAware(5, budget_bits=500, ramp=0.0),
    "SavePictureAt": lambda path: SavePictureAt(path, levels=(1.0, 60.0)),
    "SmoothHole": lambda path: SmoothHole(count=8, hole=np.tri(12, 10, dtype=bool)),
    "TrainingWheels": lambda path: TrainingWheels(every=2, check=1),
}


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def loaders(device, **options):
    set_seed(0, reproducible=True)
    options = {"bs": 40, "order": "raster", "value_range": (0, 1), "device": device} | options
    return PixelDataLoaders.from_array(picture(), **options)


def learner(device, seed=0, path=".", cbs=(), metrics=None, opt_func=None, **options):
    dls = loaders(device, path=path, **options)
    set_seed(seed)
    more = {} if opt_func is None else {"opt_func": opt_func}
    return quiet(siren_learner(dls, siren_model(DIMS), metrics, lr=1e-3, cbs=list(cbs), **more))


def devices_of(learn):
    return {t.device.type for t in (*learn.model.parameters(), *learn.model.buffers(), learn.dls.train_ds.values)}


def test_a_fit_is_that_of_the_processor(device, tmp_path):
    learn, reference = (learner(where, cbs=[MetricHistory()]) for where in (device, "cpu"))
    for each in (learn, reference):
        each.fit_fast(3)
    assert devices_of(learn) == {device}
    image = learn.render()
    assert image.device.type == "cpu"
    torch.testing.assert_close(image, reference.render(), rtol=0, atol=2e-3)
    ours, theirs = learn.metric_history.to_frame(), reference.metric_history.to_frame()
    np.testing.assert_allclose(ours.psnr, theirs.psnr, atol=0.05)
    assert all(isinstance(value, (int, float)) for row in learn.metric_history.rows for value in row.values())
    assert len(read_history(learn.metric_history.to_csv(tmp_path / "history.csv"))) == 3


def test_shuffled_batches_off_the_grid_and_with_holes_are_drawn_on_the_device(device):
    known = np.ones((12, 10), bool)
    known[3:6, 2:5] = False
    for options in ({"order": "random"}, {"off_grid": True}, {"order": "hilbert", "repeat": 2}, {"mask": known}):
        learn = learner(device, **options)
        learn.fit_fast(2)
        assert learn.render(size=20).shape == (24, 20, 3) and devices_of(learn) == {device}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_work_on_the_device(name, device, tmp_path):
    learn = learner(device, path=tmp_path, cbs=[CALLBACKS[name](tmp_path)], metrics=[PSNR(), SSIM()])
    learn.fit_fast(2)
    learn.validate()
    learn.fit(1)
    assert devices_of(learn) == {device}
    assert all(p.isfinite().all() for p in learn.model.parameters())


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_optimisers_lower_the_loss_on_the_device(name, device):
    learn = learner(device, opt_func=OPTIMIZERS[name])
    before = learn.validate()[0]
    learn.fit(3)
    assert learn.validate()[0] < before


def test_an_export_and_a_checkpoint_of_the_device_open_on_the_processor(device, tmp_path):
    learn = learner(device, path=tmp_path)
    learn.fit_fast(2)
    learn.export("fit.pkl")
    image = learn.render(size=20)
    for other in (load_learner(tmp_path / "fit.pkl"), load_checkpoint(save_checkpoint(learn, tmp_path / "fit.st"))):
        assert {p.device.type for p in other.model.parameters()} == {"cpu"}
        torch.testing.assert_close(other.render(size=20), image, rtol=0, atol=1e-4)


def test_training_goes_on_from_a_checkpoint_of_another_device(device, tmp_path):
    for first, then in (("cpu", device), (device, "cpu")):
        learn = learner(first)
        learn.fit(2)
        checkpoint = load_checkpoint(save_checkpoint(learn, tmp_path / f"{first}-{then}.st"))
        further = quiet(checkpoint.learner(loaders(then), lr=1e-3))
        reference = quiet(load_checkpoint(tmp_path / f"{first}-{then}.st").learner(loaders("cpu"), lr=1e-3))
        for each in (further, reference):
            each.fit(2)
        assert devices_of(further) == {then}
        torch.testing.assert_close(further.render(), reference.render(), rtol=0, atol=2e-3)


def test_networks_and_data_of_other_devices_are_brought_together(device):
    model = siren_model(DIMS).to(device)
    here = quiet(siren_learner(loaders("cpu"), model))
    here.fit(1)
    assert devices_of(here) == {"cpu"}
    values = torch.as_tensor(picture(), device=device)
    there = PixelDataLoaders.from_array(values, bs=40, value_range=(0, 1), device="cpu")
    assert there.train_ds.values.device.type == "cpu"
    here.dls.to(device)
    here.fit(1, reset_opt=True)  # an optimiser's state stays where it was made
    assert devices_of(here) == {device}


def test_a_render_is_that_of_the_processor(device):
    model = siren_model(DIMS)
    expected = render(model, (9, 14))
    torch.testing.assert_close(render(model.to(device), (9, 14), chunk=50), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("derivative", [GradientOf, LaplacianOf])
def test_derivatives_are_those_of_the_processor_and_can_be_trained(derivative, device):
    model, x = siren_model([2, 16, 16, 3], omega_0=5.0), torch.rand(7, 2)
    ours, theirs = (derivative(copy.deepcopy(model).to(where)) for where in (device, "cpu"))
    for parts in zip((ours, theirs), (device, "cpu"), strict=True):
        parts[0](x.to(parts[1])).square().mean().backward()
    torch.testing.assert_close(ours(x.to(device)).cpu(), theirs(x), rtol=1e-3, atol=1e-3)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if b.grad is not None:  # the last bias has no part in a derivative
            torch.testing.assert_close(a.grad.cpu(), b.grad, rtol=1e-2, atol=1e-3)
    with torch.no_grad():
        assert ours(x.to(device)).device.type == device


@pytest.mark.parametrize("sizes", [[(10, 9)] * 3, [(12, 10), (7, 9)]], ids=["one size", "padded"])
@pytest.mark.parametrize("rates", [1e-3, [1e-3, 4e-3, 2e-3]], ids=["one rate", "rates"])
def test_a_stack_is_the_single_fits_of_the_processor(sizes, rates, device, tmp_path):
    images = [picture(*size) for size in sizes]
    rates = rates if isinstance(rates, float) else rates[: len(sizes)]

    def parts(where):
        set_seed(0, reproducible=True)
        dls = PixelDataLoaders.from_images(images, bs=32, order="raster", device=where)
        return dls, [fast_model(each, [12, 10]) for each in dls.fits]

    learn = quiet(stack_learner(*parts(device), lr=rates))
    learn.fit_fast(3)
    dls, models = parts("cpu")
    for i, (own, model) in enumerate(zip(dls.fits, models, strict=True)):
        single = quiet(siren_learner(own, model, lr=rates if isinstance(rates, float) else rates[i]))
        single.fit_fast(3)
        torch.testing.assert_close(learn.render(i), single.render(), rtol=0, atol=3e-3)
        assert learn.stack_history.to_frame(i).psnr.iloc[-1] == pytest.approx(single.validate()[1], abs=0.05)
    assert {p.device.type for p in learn.model.parameters()} == {device}
    for name, path in zip(learn.names, learn.save_fields(tmp_path), strict=True):
        torch.testing.assert_close(load_checkpoint(path).render(), learn.render(name), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_fit_writes_its_folder_and_is_resumed_on_the_device(kind, device, tmp_path):
    """The kernels of `fit` are those that give the same result each time, which some operators lack on a GPU."""
    options = dict(hidden_features=8, hidden_layers=1, bs=50, device=device, kind=kind, seed=3, schedule="constant")
    image = picture_file(tmp_path / "rgb.png", 12, 16, 3)
    made = [
        fit_image(FitSettings(image, tmp_path / name, epochs=3, **options), say=lambda line: None).image
        for name in ("first", "second")
    ]
    assert torch.equal(*made)
    result = fit_image(FitSettings(folder=tmp_path / "first", resume=True, epochs=4), say=lambda line: None)
    assert len(result.history) == 4 and np.isfinite(result.history.to_numpy()).all()


@pytest.mark.parametrize("clusters", [None, Clusters(2)], ids=["one network", "clusters"])
def test_a_file_that_was_encoded_on_the_device_decodes_alike_on_the_processor(clusters, device):
    image = picture(24, 20)
    made = compress(image, bpp=6.0, steps=60, device=device, progress=False, clusters=clusters)
    decoded = decompress(made.data)
    assert torch.equal(decoded, made.image) and made.report["float_error"] < 0.25
    encoded = read_file(made.data)
    there = render(models_of(encoded).to(device), decoded.shape[:2], grid=encoded.grid, clamp=None)
    there = (there + torch.tensor(encoded.mean or 0.0)).clamp(0, 1)
    assert (255 * (there - decoded)).abs().max() < 1


def test_random_numbers_of_a_scheme_come_from_a_generator_of_either_device(device):
    models = [siren_model(DIMS).to(where) for where in (device, "cpu")]
    for model in models:
        apply_init_(model, 33, torch.Generator().manual_seed(0))
    ours, theirs = (list(model.cpu().parameters()) for model in models)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    apply_init_(models[0].to(device), 33, torch.Generator(device).manual_seed(0))
    apply_init_(models[0], "fast")
    assert all(p.isfinite().all() for p in models[0].parameters())


def test_gradients_distances_codes_and_holes_are_learned_on_the_device(device):
    image, known = picture(16, 20), np.ones((16, 20), bool)
    known[5:9, 6:12] = False
    slopes = GradientDataLoaders.from_image(image, bs=100, device=device)
    points = SurfaceDataLoaders.from_points(*surface_points(ball(), 200, 2), bs=64, device=device)
    tiles = PictureDataLoaders.from_images(tile_images(84, size=16)[0], bs=20, flip=True, shift=2, device=device)
    learners = {
        "gradients": gradient_learner(slopes, [2, 16, 16, 3]),
        "distances": distance_learner(points, siren_model([2, 16, 16, 1])),
        "codes": autoencoder_learner(tiles, small_autoencoder(), cbs=SamplePositions(40)),
    }
    for name, learn in learners.items():
        quiet(learn).fit(2)
        assert {p.device.type for p in learn.model.parameters()} == {device}, name
        assert all(p.isfinite().all() for p in learn.model.parameters()), name
    assert learners["gradients"].render().shape == (16, 20, 3)
    assert learners["distances"].render(size=9).isfinite().all()
    assert learners["codes"].get_preds()[0].isfinite().all()
    filled = siren_filling(
        torch.as_tensor(image), torch.as_tensor(known), 20, max_steps=20, device=device, progress=False
    )
    assert torch.equal(filled.image[known], torch.as_tensor(image)[known]) and filled.image.isfinite().all()


class NoWaiting(TorchDispatchMode):
    """Raise for operators that make a GPU wait: those that ask for a number, or copy from one device to another."""

    asking = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "unique", "is_nonzero", "equal")
    indexing = ("index", "index_put", "index_put_")  # a mask becomes positions, of which there is a number

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        devices = {x.device.type for x in args if isinstance(x, torch.Tensor) and x.dim()}
        target = kwargs.get("device")
        masks = name in self.indexing and any(i is not None and i.dtype == torch.bool for i in args[1])
        moved = name == "_to_copy" and target is not None and target.type not in devices
        if name in self.asking or masks or moved or len(devices) > 1:
            raise AssertionError(f"{name} makes the device wait")
        return func(*args, **kwargs)


@pytest.fixture
def on_meta(monkeypatch):
    """The device "meta", which has shapes but no numbers."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # it knows no such device

    def tensor(values, **options):
        raise AssertionError("a tensor of Python's numbers makes the device wait")

    monkeypatch.setattr(torch, "tensor", tensor)  # which on that device is no operator
    return "meta"


@pytest.mark.parametrize("features", [False, True])
def test_no_step_makes_the_device_wait(features, on_meta):
    model = siren_model(DIMS)
    model = (add_features_(model, torch.rand(6, 5, 2)) if features else model).to(on_meta)
    x, y = torch.rand(20, 2, device=on_meta), torch.rand(20, 3, device=on_meta)
    with NoWaiting():
        torch.autograd.grad((model(x) - y).square().mean(), list(model.parameters()))


def test_no_step_with_quantised_weights_and_a_rate_penalty_makes_the_device_wait(on_meta):
    weight = torch.rand(8, 4, device=on_meta, requires_grad=True)
    steps, penalty = (torch.rand((), device=on_meta), torch.rand(8, 1, device=on_meta)), RatePenalty(100.0)
    penalty.weight, penalty.max_weight = (
        torch.rand((), device=on_meta),
        torch.rand((), device=on_meta),
    )  # as after a step
    with NoWaiting():
        values = [fake_quantize(weight, step, 5, 1.0) for step in steps]
        loss = sum(value.square().sum() for value in values)
        penalty(loss, estimated_bits((weight, step) for step in steps)).backward()


def test_no_step_of_a_stack_makes_the_device_wait():
    stack = stack_models([siren_model(DIMS) for _ in range(3)]).to("meta")
    optimizer, loss = StackedAdam(stack.parameters(), [1.0, 0.5, 2.0]), StackLoss(padded=True)
    x, y = torch.rand(6, 3, 2, device="meta"), torch.rand(6, 3, 3, device="meta")
    loss(stack(x), y).backward()
    optimizer.step()  # the first makes the state, with each network's rate
    with NoWaiting():
        loss(stack(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.sum()),
        lambda x: x[x[:, 0] > 0],
        lambda x: torch.tensor([1.0, 2.0]),
        lambda x: x.to("meta"),
        lambda x: math.isnan(x[0, 0]),
    ],
)
def test_the_check_for_waiting_finds_what_waits(wait):
    with pytest.raises(AssertionError, match="makes the device wait"), NoWaiting():
        wait(torch.rand(3, 2))
