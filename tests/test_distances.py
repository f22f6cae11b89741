"""Signed distances: exact shapes, points on surfaces, the loss and its gradients, a Learner, meshes, errors."""

import random
import re

import numpy as np
import pytest
import torch
from fastai.callback.mixup import MixUp
from fastai.learner import load_learner
from fastai.torch_core import set_seed
from matplotlib import pyplot as plt
from matplotlib.contour import ContourSet
from torch import nn

from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.share import Share
from siren_fastai.distances.data import SurfaceDataLoaders
from siren_fastai.distances.learner import distance_learner, start_as_ball_
from siren_fastai.distances.loss import DistanceLoss, WithGradient
from siren_fastai.distances.mesh import save_mesh, surface_mesh
from siren_fastai.distances.nearest import nearest_distances
from siren_fastai.distances.shapes import ball, extruded, glyph, polygon, surface_points, torus
from siren_fastai.fits.checkpoint import save_checkpoint
from siren_fastai.models.finer import finer_model
from siren_fastai.models.siren import siren_model
from siren_fastai.page.save import save_page

pytestmark = pytest.mark.numerics

SQUARE = [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]
FRAME = [SQUARE, 0.5 * np.array(SQUARE)]
SHAPES = [
    (ball(), 2),
    (ball(), 3),
    (torus(), 3),
    (polygon(FRAME), 2),
    (glyph("R"), 2),
    (extruded(polygon(FRAME)), 3),
]


class TrueDistance(nn.Module):
    """A network that is the distance already."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.unused = shape, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.shape(x)[:, None] + self.unused


def loaders(shape=None, d=2, n=200, **kwargs):
    return SurfaceDataLoaders.from_points(
        *surface_points(shape or ball(), n, d), **{"bs": 64, "device": "cpu", **kwargs}
    )


@pytest.mark.parametrize("shape, d", SHAPES)
def test_a_shapes_distance_is_that_to_the_nearest_of_many_surface_points(shape, d):
    points = surface_points(shape, 6000, d)[0]
    x = torch.rand(50, d, generator=torch.Generator().manual_seed(1)) * 2 - 1
    nearest = torch.cdist(x, points).amin(1)
    assert (shape(x).abs() - nearest).abs().max() < 0.08
    assert (shape(x).abs() - nearest).abs().mean() < 0.01


@pytest.mark.parametrize("shape, d", SHAPES)
def test_surface_points_lie_on_the_surface_and_their_normals_lead_outside(shape, d):
    points, normals = surface_points(shape, 500, d)
    assert points.shape == normals.shape == (500, d)
    assert shape(points.double()).abs().max() < 1e-4
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(500))
    outside, inside = (shape((points + side * 1e-3 * normals).double()) for side in (1, -1))
    assert (outside > 0).float().mean() > 0.98 and (inside < 0).float().mean() > 0.98


def test_distances_at_positions_worked_out_by_hand():
    def at(shape, *x):
        return float(shape(torch.tensor([x], dtype=torch.float64)))

    assert at(ball(0.5), 0.0, 1.0) == pytest.approx(0.5)
    assert at(torus(0.5, 0.2), 0.0, 0.5, 0.0) == pytest.approx(-0.2)
    assert at(torus(0.5, 0.2), 0.0, 0.0, 0.0) == pytest.approx(0.3)
    assert at(polygon([SQUARE]), 0.0, 0.1) == pytest.approx(-0.4)
    assert at(polygon([SQUARE]), 0.8, 0.9) == pytest.approx(0.5)
    assert at(polygon(FRAME), 0.0, 0.0) == pytest.approx(0.25)  # in the hole
    assert at(extruded(polygon([SQUARE]), 0.4), 0.6, 0.8, 0.0) == pytest.approx(0.5)


def test_a_glyph_is_upright_as_images_are():
    top, bottom = (glyph("T")(torch.tensor([[row, 0.4]])) for row in (-0.62, 0.62))
    assert top < 0 < bottom


def test_dollars_in_a_text_are_characters():
    above = torch.stack([torch.full((50,), -0.65), torch.linspace(-1, 1, 50)], dim=1)
    assert glyph("$R$")(above).min() > 0 > glyph("R")(above).min()  # three characters are wider than high


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ball(0), "`radius` must be above 0"),
        (lambda: torus(0.2, 0.5), "`major` must be above `minor`"),
        (lambda: polygon([]), "one or more outlines"),
        (lambda: polygon([[(0, 0), (1, 1)]]), r"shapes \[\(2, 2\)\]"),
        (lambda: polygon([[(0, 0), (1, np.nan), (1, 1)]]), "finite numbers"),
        (lambda: polygon([[(1, 1)] * 3]), "not all one point"),
        (lambda: glyph(" "), "must have an outline"),
        (lambda: glyph(""), "must have an outline"),
        (lambda: glyph("\u200b"), "must have an outline"),
        (lambda: surface_points(ball(), -1, 2), "`n` must be an integer of 1 or more"),
        (lambda: surface_points(lambda x: x[:, 0] + 5, 10, 2), "found 0 of 10 points"),
    ],
)
def test_bad_shapes_are_errors(make, message, monkeypatch):
    monkeypatch.setattr("siren_fastai.distances.shapes.MAX_ROUNDS", 2)
    with pytest.raises(ValueError, match=message):
        make()


class Sum(nn.Module):
    def forward(self, x):
        return x[:, :1] ** 2 + 3 * x[:, 1:]


def test_values_and_gradients_are_those_of_the_network_with_and_without_gradients():
    model = WithGradient(Sum())
    x = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    expected = torch.tensor([[7.0, 2.0, 3.0], [-2.75, 1.0, 3.0]])
    torch.testing.assert_close(model(x), expected)
    with torch.no_grad():
        assert not model(x).requires_grad
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_siren_has_the_values_and_slopes_of_automatic_differentiation(scale):
    torch.manual_seed(0)
    network, x, weights = siren_model([3, 16, 16, 1], 10), torch.rand(20, 3) * 2 - 1, torch.randn(20, 4)
    for layer in network[:-1]:
        layer.gain = scale
    both = WithGradient(network)(x), WithGradient(nn.Sequential(network))(x)  # which only the first knows by its layers
    torch.testing.assert_close(*both)
    found, expected = (torch.autograd.grad((weights * y).sum(), [*network.parameters()]) for y in both)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(WithGradient(network)(x), both[0].detach())


def test_a_network_whose_gradient_is_not_its_slope_is_refused():
    with pytest.raises(ValueError, match="scale_gradient"):
        WithGradient(finer_model(2, 1, 8, 1))
    WithGradient(finer_model(2, 1, 8, 1, scale_gradient=True))


@pytest.mark.parametrize("shape, d", SHAPES)
def test_distances_from_the_nearest_points_are_signed_and_near_the_true_ones(shape, d):
    points, normals = surface_points(shape, 4000, d)
    x = torch.rand(2000, d, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = nearest_distances(x, points, normals)
    torch.testing.assert_close(found.abs(), torch.cdist(x.double(), points.double()).amin(1).float())
    assert (found.sign() != shape(x).sign()).float().mean() < 0.003
    assert (found - shape(x)).abs().mean() < 0.006


def test_one_neighbour_with_another_side_does_not_choose_the_side():
    points = torch.tensor([[0.0, 0.0], [0.001, 0.0], [0.002, 0.0], [0.003, 0.0]])
    normals = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest_distances(torch.tensor([[0.0, -0.5], [-0.5, 0.0]]), points, normals)[1] == pytest.approx(-0.5)


def test_the_loss_of_the_true_distance_is_nearly_0_and_that_of_another_is_not():
    x, y = loaders(n=4000, bs=1000).one_batch()
    x = x * 0.8  # `loaders` scales the ball to 1 / 1.6: back to its own units
    y[:, 0] *= 0.8
    loss = DistanceLoss()
    assert loss(WithGradient(TrueDistance(ball()))(x), y) < 0.1
    assert loss(WithGradient(TrueDistance(ball(0.4)))(x), y) > 10


@pytest.mark.parametrize(
    "pred, target, expected",
    [
        ([[0.5, 1.0, 0.0]], [[0.0, 1.0, 0.0]], 3 * 0.5),  # off by 0.5 on the surface
        ([[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]], 5 * 1),  # a right angle to the normal
        ([[0.0, 0.0, 3.0]], [[0.0, 0.0, 1.0]], 2 * 2),  # a slope of 3
        ([[0.5, 1.0, 0.0]], [[0.25, 0.0, 0.0]], 11 * 0.25 + 7 * np.exp(-1)),  # free space
    ],
)
def test_each_term_of_the_loss_has_its_weight(pred, target, expected):
    loss = DistanceLoss(eikonal=2, surface=3, normals=5, nearest=11, off_surface=7, sharpness=2)
    assert float(loss(torch.tensor(pred), torch.tensor(target))) == pytest.approx(expected, abs=1e-5)


def test_the_papers_loss_is_the_sum_of_its_four_means_over_all_positions():
    generator = torch.Generator().manual_seed(0)
    pred, normals = torch.randn(20, 4, generator=generator), torch.randn(20, 3, generator=generator)
    on = torch.arange(20) < 10
    values, slopes = pred[:, 0], pred[:, 1:]
    cosines = (slopes * normals).sum(1) / slopes.norm(dim=1) / normals.norm(dim=1)
    expected = (
        3e3 * torch.where(on, values.abs(), 0).mean()
        + 1e2 * torch.where(on, 0, torch.exp(-1e2 * values.abs())).mean()
        + 1e2 * torch.where(on, 1 - cosines, 0).mean()
        + 5e1 * (slopes.norm(dim=1) - 1).abs().mean()
    )
    target = torch.cat([torch.where(on, 0.0, 9.0)[:, None], normals * on[:, None]], dim=1)
    torch.testing.assert_close(DistanceLoss.paper()(pred, target), expected)


@pytest.mark.parametrize("network", [siren_model([2, 8, 1]), finer_model(2, 1, 8, 1, scale_gradient=True)])
def test_gradients_work_in_inference_mode_and_reach_the_positions(network):
    model, x = WithGradient(network), torch.rand(5, 2)
    with torch.inference_mode():
        found = model(x), model(x.clone())
    for values in found:
        torch.testing.assert_close(values, model(x))
    x.requires_grad_()
    (slopes,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    torch.testing.assert_close(slopes, model(x)[:, 1:])


def test_a_batch_is_surface_points_and_as_many_free_positions_drawn_anew():
    dls = loaders()
    x, y = dls.one_batch()
    half = len(x) // 2
    assert x.shape == (len(x), 2) and y.shape == (len(x), 3)
    assert x[:half].abs().max() <= 1 and 1 < x[half:].abs().max() <= 1.1
    assert (y[:half, 1:].norm(dim=1) > 0.9).all() and not y[:half, 0].any()
    assert not y[half:, 1:].any() and (y[half:, 0] > 0).any() and (y[half:, 0] < 0).any()
    data = dls.train_ds
    for position, target in zip(x[half:], y[half:], strict=True):
        assert target[0] in data.distances[(data.free == position).all(1)]
    assert not torch.equal(x[half:], dls.one_batch()[0][half:])


def test_two_processes_divide_the_batches_of_one():
    def batches(rank, count, bs):
        dl = loaders(n=100, bs=bs).train
        dl.share, dl.rng = Share(rank, count), random.Random(1)
        return list(dl)

    for (x, y), *parts in zip(batches(0, 1, 50), batches(0, 2, 25), batches(1, 2, 25), strict=True):
        n = len(x) // 2
        for whole, (a, b) in ((x, (parts[0][0], parts[1][0])), (y, (parts[0][1], parts[1][1]))):
            torch.testing.assert_close(torch.cat([a[: n // 2], b[: n // 2]]), whole[:n])
            torch.testing.assert_close(torch.cat([a[n // 2 :], b[n // 2 :]]), whole[n:])


def test_free_positions_are_spread_evenly_and_the_same_each_time():
    free = loaders(n_free=1024).train_ds.free
    counts = torch.histogramdd(free, [8, 8], range=[-1.1, 1.1, -1.1, 1.1]).hist
    assert counts.min() > 10 and counts.max() < 22  # 16 each
    torch.testing.assert_close(free, loaders(n_free=1024).train_ds.free)


def test_positions_are_scaled_to_the_box_and_values_back():
    points, normals = surface_points(ball(), 200, 2)
    shift = torch.tensor([10.0, -4.0])
    dls = SurfaceDataLoaders.from_points(100 * points + shift, normals, box=[-90, -104, 110, 96], device="cpu")
    learn = distance_learner(dls, TrueDistance(ball()))
    assert learn.box == (-90, -104, 110, 96)
    values = learn.render(size=21)
    assert values.shape == (21, 21)
    assert values[10, 10] == pytest.approx(-50) and values[10, 0] == pytest.approx(50)
    corner = learn.render([10, -4, 60, 21], 11)
    assert (
        corner.shape == (11, 6) and corner[0, 0] == pytest.approx(-50) and corner[10, 0] == pytest.approx(0, abs=1e-4)
    )
    error = learn.distance_error(lambda x: 100 * ball()((x - shift) / 100), size=9)
    assert error["max"] < 1e-3
    assert learn.distance_error(lambda x: 100 * ball()((x - shift) / 100) + 3, size=9)["mean"] == pytest.approx(3)


def test_errors_far_from_the_origin_are_exact_and_each_position_has_one_distance():
    points, normals = surface_points(ball(), 200, 2)
    far = torch.tensor([5e5, 4e6], dtype=torch.float64)
    dls = SurfaceDataLoaders.from_points(points + far, normals, device="cpu", n_free=64)
    learn = distance_learner(dls, TrueDistance(lambda x: ball()(x * dls.train_ds.scale) / dls.train_ds.scale))
    center = torch.tensor(dls.train_ds.center, dtype=torch.float64)
    assert learn.distance_error(lambda x: ball()(x - center), size=150)["max"] < 1e-5  # 22 500 positions, in two parts
    for wrong in (lambda x: ball()(x - center)[:, None], lambda x: 0.0):
        with pytest.raises(ValueError, match=r"one number for each of 64 positions"):
            learn.distance_error(wrong, size=8)


def test_predictions_belong_to_their_targets():
    learn = distance_learner(loaders(n=200, box=[-1, -1, 1, 1]), TrueDistance(polygon([SQUARE])))
    with learn.no_bar():
        values, targets = learn.get_preds()
    assert values.shape == targets.shape == (400, 3)
    on = (targets[:, 1:] != 0).any(1)
    assert on.sum() == 200
    true = polygon([SQUARE])
    torch.testing.assert_close(values[on, 0], true(learn.dls.train_ds.coords))  # in the order of the points
    near = learn.dls.train_ds.distances[:, None] == targets[~on, 0]
    torch.testing.assert_close(values[~on, 0], true(learn.dls.train_ds.free)[near.int().argmax(0)])


def test_training_lowers_the_error_and_validation_and_export_work(tmp_path):
    set_seed(0, reproducible=True)
    shape = polygon([SQUARE])
    learn = distance_learner(loaders(shape, n=1000, path=tmp_path))
    before = learn.distance_error(shape, 24)["mean"]
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(6)
    assert learn.distance_error(shape, 24)["mean"] < before / 2
    assert np.isfinite(learn.validate()[0])
    values = learn.render(size=8)
    learn.export("square.pkl")
    assert (tmp_path / "square.pkl").stat().st_size < 200_000  # the network, no points
    loaded = load_learner(tmp_path / "square.pkl")
    torch.testing.assert_close(loaded.render(size=8), values)
    assert loaded.box == learn.box
    for train in (lambda: loaded.fit(1), lambda: loaded.lr_find(show_plot=False)):
        with pytest.raises(ValueError, match="no samples to train on"):
            train()


def test_a_saved_learner_continues_with_the_same_weights(tmp_path):
    learn = distance_learner(loaders(path=tmp_path))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(1)
    values, loss = learn.render(size=8), learn.validate()[0]
    learn.save("ball")
    other = distance_learner(loaders(path=tmp_path), siren_model([2, 64, 64, 64, 1], 20))  # omega_0 comes with the file
    assert not torch.allclose(other.render(size=8), values)
    other.load("ball")
    torch.testing.assert_close(other.render(size=8), values)
    assert np.isfinite(loss) and other.opt is not None
    with other.no_bar(), other.no_logging():
        other.fit(1, 1e-4)
    assert np.isfinite(other.validate()[0])


def test_a_network_starts_as_a_ball():
    torch.manual_seed(0)
    network = start_as_ball_(siren_model([2, 32, 32, 1], 10), 2, radius=0.4)
    x = torch.rand(500, 2) * 2 - 1
    assert (network(x)[:, 0] - ball(0.4)(x)).abs().mean() < 0.03


def test_a_mesh_of_the_true_distance_lies_on_the_surface_and_faces_outside(tmp_path):
    learn = distance_learner(loaders(torus(), 3, box=[-1, -1, -1, 1, 1, 1]), TrueDistance(torus()))
    vertices, triangles = learn.mesh(size=40)
    assert torus()(torch.from_numpy(vertices)).abs().max() < 0.01
    corners = vertices[triangles]
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(2 * np.pi**2 * 0.5 * 0.2**2, rel=0.05)  # above 0: counter-clockwise from outside
    path = save_mesh(tmp_path / "torus.obj", vertices, triangles)
    lines = path.read_text().splitlines()
    found = np.array([line.split()[1:] for line in lines if line.startswith("v ")], dtype=float)
    np.testing.assert_allclose(found, vertices, atol=1e-5)
    faces = np.array([line.split()[1:] for line in lines if line.startswith("f ")], dtype=int)
    np.testing.assert_array_equal(faces, triangles + 1)


@pytest.mark.parametrize("start, side", [((5e5, 4e6, 0.0), 1.0), ((0.0, 0.0, 0.0), 1e-8), ((0.0, 0.0, 0.0), 1e9)])
def test_a_mesh_keeps_its_shape_wherever_it_lies(start, side, tmp_path):
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 12)] * 3, indexing="ij")
    box = [*start, *(x + side for x in start)]
    vertices, triangles = surface_mesh(torch.stack(axes).norm(dim=0) - 0.5, box)
    lines = save_mesh(tmp_path / "ball.obj", vertices, triangles).read_text().splitlines()
    found = np.array([line.split()[1:] for line in lines if line.startswith("v ")], dtype=float)
    np.testing.assert_allclose(found, vertices, rtol=0, atol=1e-6 * side)


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, np.nan]])
def test_a_mesh_in_a_bad_box_is_an_error(box):
    with pytest.raises(ValueError, match="three starts, then three greater ends"):
        surface_mesh(np.linspace(-1, 1, 27).reshape(3, 3, 3), box)


def test_bad_meshes_are_errors(tmp_path):
    with pytest.raises(ValueError, match="never through 0"):
        surface_mesh(np.ones((3, 3, 3)), [0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="must be a volume"):
        surface_mesh(np.ones((3, 3)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="must end in .obj"):
        save_mesh(tmp_path / "torus.stl", np.zeros((3, 3)), np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match="three dimensions"):
        distance_learner(loaders(), TrueDistance(ball())).mesh()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p, n: dict(points=p[:5]), r"same shape, got (5, 2) and (200, 2)"),
        (lambda p, n: dict(points=p[:, 0]), "must be (n, 2) or (n, 3)"),
        (lambda p, n: dict(points=p / 0), "`points` must be finite"),
        (lambda p, n: dict(normals=2 * n), "200 of 200 haven't"),
        (lambda p, n: dict(points=p * 0), "same point"),
        (lambda p, n: dict(margin=-1), "`margin` must be 0 or more"),
        (lambda p, n: dict(box=[0, 0, 1, 1]), "`box` must contain the points"),
        (lambda p, n: dict(box=[0, 0, 1]), "`box` must be 2 starts"),
        (lambda p, n: dict(box=[-np.inf, -1, np.inf, 1]), "`box` must be 2 starts"),
        (lambda p, n: dict(bs=0), "`bs` must be an integer"),
        (lambda p, n: dict(n_free=0), "`n_free` must be an integer"),
        (lambda p, n: dict(points=torch.where(p > 0.4, torch.nan, p)), "rows aren't: drop them"),
        (lambda p, n: dict(points=p[:1], normals=n[:1]), "same point"),
        (lambda p, n: dict(points=p[:0], normals=n[:0]), "n of 1 or more"),
        (lambda p, n: dict(box=[1, 1, -1, -1]), "greater ends"),
    ],
)
def test_bad_points_are_errors_before_training(change, message):
    points, normals = surface_points(ball(), 200, 2)
    with pytest.raises(ValueError, match=re.escape(message)):
        SurfaceDataLoaders.from_points(**{"points": points, "normals": normals, **change(points, normals)})


@pytest.mark.parametrize("model", [siren_model([3, 8, 1]), siren_model([2, 8, 3])])
def test_a_network_for_other_data_is_an_error(model):
    with pytest.raises(ValueError, match="must read positions of 2 coordinates and give one value"):
        distance_learner(loaders(), model)


def test_other_loaders_and_a_list_of_widths_are_errors():
    with pytest.raises(TypeError, match="must be `SurfaceDataLoaders`"):
        distance_learner(PixelDataLoaders.from_array(torch.rand(8, 8, 1)))
    with pytest.raises(TypeError, match=r"as `siren_model\(\[2, 64, 64, 1\]\)`, got \[2, 8, 1\]"):
        distance_learner(loaders(), [2, 8, 1])


@pytest.mark.parametrize(
    "box, size, message",
    [
        ([-3, -3, 3, 3], 8, "`box` must lie in "),
        ([0, 0, 1], 8, "`box` must be 2 starts, then 2 greater ends"),
        ([0.5, 0.5, 0, 0], 8, "greater ends"),
        ([0, 0, 0, 0.5], 8, "greater ends"),
        ([0, 0, np.nan, 0.5], 8, "greater ends"),
        (None, 0, "`size` must be an integer of 2 or more"),
        (None, 8.5, "`size` must be an integer"),
        (None, (8, 8, 8), "or 2 of them"),
        (None, (8,), "or 2 of them"),
        (None, 100_000, "10,000,000,000 samples"),
    ],
)
def test_a_box_or_size_that_cannot_be_rendered_is_an_error(box, size, message):
    with pytest.raises(ValueError, match=message):
        distance_learner(loaders(), TrueDistance(ball())).render(box, size)


def test_points_few_or_in_a_plane_are_fitted():
    points, normals = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    dls = SurfaceDataLoaders.from_points(points, normals, device="cpu", n_free=64)
    learn = distance_learner(dls, siren_model([2, 8, 1], 10))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(1)
    assert learn.render(size=4).isfinite().all()


@pytest.mark.parametrize("d, panels", [(2, 1), (3, 5)])
def test_results_are_drawn_with_a_line_on_the_surface(d, panels):
    learn = distance_learner(loaders(d=d, box=[-1] * d + [1] * d), TrueDistance(ball()))
    learn.show_results(size=33)
    figure = plt.gcf()
    axes = [ax for ax in figure.axes if ax.images]
    assert len(axes) == panels
    middle = axes[panels // 2]
    (line,) = [part for part in middle.collections if isinstance(part, ContourSet)]
    radius = np.linalg.norm(line.get_paths()[0].vertices, axis=1)
    height = float(middle.get_title()[3:] or 0) if d == 3 else 0.0
    np.testing.assert_allclose(radius, np.sqrt(0.25 - height**2), atol=0.02)
    plt.close(figure)


def test_a_line_lies_in_its_image_where_the_surface_is_not_in_the_middle():
    points, normals = surface_points(ball(0.2), 100, 2)
    shift = torch.tensor([0.5, -0.5])
    dls = SurfaceDataLoaders.from_points(points + shift, normals, box=[-1, -1, 1, 1], device="cpu")
    distance_learner(dls, TrueDistance(lambda x: ball(0.2)(x - shift))).show_results()
    ax = plt.gcf().axes[0]
    (line,) = [part for part in ax.collections if isinstance(part, ContourSet)]
    np.testing.assert_allclose(line.get_paths()[0].vertices.mean(0), [-0.5, 0.5], atol=0.02)  # column, row
    assert ax.images[0].get_extent() == [-1, 1, 1, -1]
    plt.close()


@pytest.mark.parametrize("d", [2, 3])
def test_a_batch_is_drawn_at_its_positions(d):
    loaders(d=d).show_batch()
    (drawn,) = [part for part in plt.gcf().axes[0].collections if len(part.get_array())]
    values = drawn.get_array()
    assert len(values) % 2 == 0 and not values[: len(values) // 2].any() and values.max() > 0
    plt.close()


def test_what_has_no_meaning_for_distances_says_what_to_use(tmp_path):
    learn = distance_learner(loaders(), TrueDistance(ball()))
    with pytest.raises(TypeError, match="use `render"):
        learn.predict([0.0, 0.0])
    with pytest.raises(TypeError, match="save_mesh"):
        learn.to_html("ball.html")
    with pytest.raises(TypeError, match="`learn.save` or `learn.export`"):
        save_checkpoint(learn, tmp_path / "ball.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_solid_is_no_page(tmp_path):
    learn = distance_learner(loaders(d=3), siren_model([3, 8, 1], 10))
    with pytest.raises(ValueError, match="reads two coordinates, got layers that read \\[3, 8\\]"):
        save_page(learn.model.network, tmp_path / "solid.html", (8, 8))
    assert not (tmp_path / "solid.html").exists()


@pytest.mark.parametrize(("shape", "d"), [(ball(), 2), (glyph("R"), 2), (torus(), 3)])
def test_normals_that_point_inside_are_warned_of_and_others_are_not(shape, d):
    points, normals = surface_points(shape, 300, d)
    with pytest.warns(UserWarning, match="must point outside"):
        SurfaceDataLoaders.from_points(points, -normals, n_free=500)
    SurfaceDataLoaders.from_points(points, normals, n_free=500)  # a warning would be an error


@pytest.mark.parametrize("mix", [MixUp, MixUp()])
def test_mixed_positions_are_refused(mix):
    with pytest.raises(ValueError, match="`MixUp` mixes positions"):
        distance_learner(loaders(), cbs=mix)
