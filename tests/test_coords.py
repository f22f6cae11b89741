"""Grids against their formulas, curves against a textbook walk, interpolation against PyTorch's grid_sample."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from siren_fastai.coords import (
    GRIDS,
    ORDERS,
    append_features,
    axis_positions,
    grid_coords,
    line_coords,
    pixel_order,
    random_positions,
    region_axes,
    region_size,
    sample_linear,
)


@pytest.mark.parametrize(
    "grid, expected",
    [("centers", [-0.75, -0.25, 0.25, 0.75]), ("corners", [-1, -1 / 3, 1 / 3, 1]), ("left", [-1, -0.5, 0, 0.5])],
)
def test_positions_of_four_pixels_follow_the_formula(grid, expected):
    positions = axis_positions(4, grid)
    assert positions.dtype == torch.float32
    torch.testing.assert_close(positions, torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-7)


@pytest.mark.parametrize("grid, expected", [("centers", 0.0), ("corners", 0.0), ("left", -1.0)])
def test_a_single_pixel_has_a_position(grid, expected):
    assert axis_positions(1, grid).tolist() == [expected]


@pytest.mark.parametrize("n", [5, 16, 75, 224])
def test_doubling_a_left_grid_keeps_every_pixel_and_a_corners_grid_only_its_ends(n):
    assert torch.equal(axis_positions(n, "left"), axis_positions(2 * n, "left")[::2])
    coarse, fine = axis_positions(n, "corners"), axis_positions(2 * n, "corners")
    assert np.intersect1d(coarse, fine).tolist() == [-1, 1]


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_centers_are_symmetric_and_inside(n):
    positions = axis_positions(n)
    torch.testing.assert_close(positions, -positions.flip(0), rtol=0, atol=1e-7)
    assert positions.abs().max() < 1


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 1), (2, 1, 2, 3)])
def test_grid_coords_are_in_raster_order_with_the_axes_of_the_array(shape):
    coords = grid_coords(shape, "left")
    axes = [axis_positions(n, "left") for n in shape]
    expected = [[axes[d][i] for d, i in enumerate(index)] for index in np.ndindex(*shape)]
    assert coords.dtype == torch.float32 and coords.is_contiguous()
    assert torch.equal(coords, torch.tensor(expected))


def region_coords(size, region, grid="centers"):
    return torch.stack(torch.meshgrid(*region_axes(size, region, grid), indexing="ij"), dim=-1)


def test_whole_region_is_the_grid_and_half_regions_are_its_halves():
    for grid in GRIDS:
        assert torch.equal(region_coords((5, 7), (-1, -1, 1, 1), grid).view(-1, 2), grid_coords((5, 7), grid))
    assert torch.equal(region_coords((4, 3, 2), None).view(-1, 3), grid_coords((4, 3, 2)))
    whole = grid_coords((8, 6)).view(8, 6, 2)
    torch.testing.assert_close(region_coords((4, 6), (0, -1, 1, 1)), whole[4:], rtol=0, atol=1e-7)
    torch.testing.assert_close(region_coords((8, 3), (-1, -1, 1, 0)), whole[:, :3], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 1), (-1, 0.5, 1, -0.5), (0, 0, 64, 64), (-1, -1, 1), (-1, -1, 1, math.nan)]
)
def test_regions_that_are_empty_or_outside_are_refused(region):
    with pytest.raises(ValueError, match="`region` must be"):
        region_axes((4, 4), region)


def test_random_positions_are_uniform_and_repeat_with_their_generator():
    positions = random_positions(20_000, 2, torch.Generator().manual_seed(3))
    assert positions.shape == (20_000, 2) and positions.dtype == torch.float32
    assert positions.min() >= -1 and positions.max() < 1
    torch.testing.assert_close(positions.mean(0), torch.zeros(2), rtol=0, atol=0.02)
    torch.testing.assert_close(positions.var(0), torch.full((2,), 1 / 3), rtol=0, atol=0.02)
    assert torch.equal(positions, random_positions(20_000, 2, torch.Generator().manual_seed(3)))
    assert not torch.equal(positions, random_positions(20_000, 2, torch.Generator().manual_seed(4)))


SHAPES = [(1, 1), (1, 9), (4, 4), (5, 3), (16, 16), (6, 17)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_visits_every_pixel_once(shape, order):
    visited = pixel_order(shape, order)
    assert visited.dtype == torch.int64
    assert torch.equal(visited.sort().values, torch.arange(math.prod(shape)))


def steps(visited, shape):
    """The distance, in pixels along the axes, of each step of a walk."""
    places = np.stack(np.unravel_index(visited.numpy(), shape), axis=1)
    return np.abs(np.diff(places, axis=0)).sum(1)


def test_serpentine_turns_at_the_end_of_each_row():
    assert pixel_order((3, 3), "serpentine").tolist() == [0, 1, 2, 5, 4, 3, 6, 7, 8]


@pytest.mark.parametrize("shape", [(7,), (4, 5), (5, 4), (3, 2, 4), (2, 3, 3, 2)])
def test_serpentine_steps_to_neighbours_in_any_number_of_dimensions(shape):
    visited = pixel_order(shape, "serpentine")
    assert torch.equal(visited.sort().values, torch.arange(math.prod(shape)))
    assert (steps(visited, shape) == 1).all()


def textbook_hilbert(side):
    """(x, y) of each step of the curve, from its distance along it, one at a time (the iterative form of d2xy)."""
    walk = []
    for distance in range(side * side):
        x = y = 0
        s, t = 1, distance
        while s < side:
            rx = 1 & (t // 2)
            ry = 1 & (t ^ rx)
            if ry == 0:
                if rx == 1:
                    x, y = s - 1 - x, s - 1 - y
                x, y = y, x
            x, y, t, s = x + s * rx, y + s * ry, t // 4, 2 * s
        walk.append((x, y))
    return walk


@pytest.mark.parametrize("side", [2, 4, 8, 16])
def test_hilbert_on_a_power_of_two_square_only_steps_to_neighbours_as_the_textbook_does(side):
    visited = pixel_order((side, side), "hilbert")
    assert (steps(visited, (side, side)) == 1).all()
    x, y = visited % side, visited // side
    textbook = np.array(textbook_hilbert(side))
    assert visited[0] == 0
    assert np.array_equal(np.stack([x, y], 1), textbook) or np.array_equal(np.stack([y, x], 1), textbook)


@pytest.mark.parametrize("shape", [(5, 3), (6, 17), (1, 9)])
def test_hilbert_on_other_shapes_is_the_squares_curve_less_the_outside(shape):
    side = 2 ** math.ceil(math.log2(max(shape)))
    inside = [int(p) for p in pixel_order((side, side), "hilbert") if p // side < shape[0] and p % side < shape[1]]
    assert pixel_order(shape, "hilbert").tolist() == [p // side * shape[1] + p % side for p in inside]


def test_zorder_interleaves_the_bits_of_row_and_column():
    def interleaved(pixel):
        row, col = divmod(pixel, 8)
        return sum(((row >> bit) & 1) << (2 * bit + 1) | ((col >> bit) & 1) << (2 * bit) for bit in range(3))

    assert pixel_order((8, 8), "zorder").tolist() == sorted(range(64), key=interleaved)


def test_shuffled_order_repeats_with_its_seed():
    first = pixel_order((8, 8), "shuffled", seed=5)
    assert torch.equal(first, pixel_order((8, 8), "shuffled", seed=5))
    assert not torch.equal(first, pixel_order((8, 8), "shuffled", seed=6))
    assert not torch.equal(pixel_order((8, 8), "shuffled"), pixel_order((8, 8), "shuffled"))


@pytest.mark.parametrize("order", ORDERS)
def test_line_coordinates_increase_along_the_walk(order):
    coords = line_coords((5, 7), order, seed=1)
    assert coords.shape == (35, 1)
    assert torch.equal(coords[pixel_order((5, 7), order, seed=1), 0], axis_positions(35))


def test_a_line_along_the_raster_is_its_positions():
    assert torch.equal(line_coords((5, 7))[:, 0], axis_positions(35))


def test_appended_features_follow_the_coordinates_and_none_changes_nothing():
    coords, features = grid_coords((3, 4)), torch.arange(24).view(12, 2)
    joined = append_features(coords, features)
    assert joined.dtype == torch.float32
    assert torch.equal(joined[:, :2], coords) and torch.equal(joined[:, 2:], features.float())
    assert torch.equal(append_features(coords, torch.zeros(12, 0)), coords)


@pytest.mark.parametrize("shape", [(9,), (6, 5), (4, 3, 5), (2, 3, 2, 3), (1, 4)])
@pytest.mark.parametrize("grid", GRIDS)
def test_sampling_on_the_grid_gives_the_samples(shape, grid):
    values = torch.rand(*shape, 3)
    torch.testing.assert_close(sample_linear(values, grid_coords(shape, grid), grid), values.view(-1, 3))


@pytest.mark.parametrize("grid, align_corners", [("corners", True), ("centers", False)])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5)])
def test_sampling_equals_grid_sample(shape, grid, align_corners):
    values, coords = torch.rand(*shape, 3), random_positions(500, len(shape)) * 1.2
    picture = values.movedim(-1, 0)[None]
    positions = coords.flip(1).view(1, *[1] * (len(shape) - 1), 500, len(shape))  # PyTorch's order is (x, y, z)
    expected = F.grid_sample(picture, positions, padding_mode="border", align_corners=align_corners)
    torch.testing.assert_close(sample_linear(values, coords, grid), expected.reshape(3, 500).T, rtol=0, atol=1e-5)


def test_sampling_a_line_equals_numpys_interpolation():
    values, coords = torch.rand(11, 1), random_positions(200, 1)
    expected = np.interp(coords[:, 0], axis_positions(11, "left"), values[:, 0])
    np.testing.assert_allclose(sample_linear(values, coords, "left")[:, 0], expected, atol=1e-5)


def test_sampling_is_differentiable_in_positions_and_values():
    values = torch.rand(4, 5, 2, dtype=torch.double, requires_grad=True)
    coords = (torch.rand(6, 2, dtype=torch.double) * 1.8 - 0.9).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x: sample_linear(v, x, "corners"), (values, coords))


def test_a_nan_position_gives_nan():
    sampled = sample_linear(torch.rand(4, 4, 3), torch.tensor([[math.nan, 0.0], [0.0, 0.0]]))
    assert sampled[0].isnan().all() and sampled[1].isfinite().all()


@pytest.mark.parametrize("call", [axis_positions, lambda n, grid: grid_coords((n, n), grid)])
def test_an_unknown_grid_is_refused_with_the_known_ones(call):
    with pytest.raises(ValueError, match="`grid` must be one of .*'left'.*, got 'center'"):
        call(4, "center")


@pytest.mark.parametrize("shape", [(), (0, 4), (4, -1), (4.0, 4), (True, 4), 4, None])
def test_a_bad_shape_is_refused_with_its_value(shape):
    with pytest.raises(ValueError, match="sizes must be integers of at least 1"):
        grid_coords(shape)


def test_orders_check_their_name_and_their_dimensions():
    with pytest.raises(ValueError, match="`order` must be one of .*got 'spiral'"):
        pixel_order((4, 4), "spiral")
    for order in ("hilbert", "zorder"):
        with pytest.raises(ValueError, match="needs a 2-D shape"):
            pixel_order((4, 4, 4), order)


def test_mismatched_arguments_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"\(12, 2\) and \(11, 2\)"):
        append_features(torch.zeros(12, 2), torch.zeros(11, 2))
    with pytest.raises(ValueError, match=r"`coords` must be \(n, 2\)"):
        sample_linear(torch.rand(4, 4, 3), torch.zeros(5, 3))
    with pytest.raises(TypeError, match="must be floating point, got torch.uint8"):
        sample_linear(torch.zeros(4, 4, 3, dtype=torch.uint8), torch.zeros(5, 2))


@pytest.mark.parametrize(
    "shape, region, size, expected",
    [
        ((40, 20), None, None, (40, 20)),
        ((40, 20), None, 10, (20, 10)),
        ((40, 20), None, np.int64(10), (20, 10)),
        ((40, 20), (-1, -1, 0, 1), None, (20, 20)),
        ((40, 20), (-0.5, -1, 0, 0), 7, (7, 7)),
        ((40, 20), (-0.25, -1, 0, 1), 10, (10, 40)),
        ((40, 20), (-0.25, -1, 0, 1), (3, 5), (3, 5)),
        ((40, 20), None, [3, 5], (3, 5)),
        ((40, 20), None, np.array([3, 5]), (3, 5)),
        ((8,), (0, 0.1), None, (1,)),
        ((8,), None, 20, (20,)),
        ((8,), (0, 1), 20, (20,)),
        ((8, 4, 2), None, (1, 2, 3), (1, 2, 3)),
    ],
)
def test_sizes_of_a_region(shape, region, size, expected):
    assert region_size(shape, region, size) == expected


@pytest.mark.parametrize(
    "region, expected",
    [(None, (5, 16, 12)), ((0, -1, -1, 1, 1, 1), (2, 16, 12)), ((-1, -1, -1, 1, 0, 1), (5, 12, 18))],
)
def test_an_integer_size_leaves_the_time_of_a_video_alone(region, expected):
    assert region_size((5, 80, 60), region, 12) == expected


@pytest.mark.parametrize("size", [0, 2.5, True, "12", (3,), (3, 4, 5), (3, 0), (3, 4.0), (), torch.tensor(3)])
def test_a_size_that_fits_no_image_is_refused(size):
    with pytest.raises(ValueError, match=r"`size` must be an integer of at least 1 or \(height, width\), got"):
        region_size((4, 4), None, size)


def test_a_size_of_the_wrong_length_names_the_axes():
    with pytest.raises(ValueError, match=r"or \(length,\), got \(3, 4\)"):
        region_size((9,), size=(3, 4))
    with pytest.raises(ValueError, match=r"each of the 3 axes, got \(3, 4\)"):
        region_size((9, 9, 9), size=(3, 4))


@pytest.mark.parametrize("shape, region", [((4, 4), (0, 0, 1)), ((4, 4), (0, 0, 0, 1)), ((4, 0), None)])
def test_a_region_without_samples_has_no_size(shape, region):
    with pytest.raises(ValueError, match="`region`|sizes must be integers"):
        region_size(shape, region, 4)
