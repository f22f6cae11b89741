"""Rays from a hole's pixels to the first known ones, and the filling blended from them."""

import math

import pytest
import torch

from siren_fastai.inpainting.baselines import harmonic_fill, ray_fill
from siren_fastai.inpainting.networks import inpainting_network, unet
from siren_fastai.inpainting.rays import RAYS, WAYS, cast_rays, halved, ray_weights
from siren_fastai.inpainting.scores import hole_psnr

pytestmark = pytest.mark.numerics


def random_case(n=2, c=3, h=13, w=17, seed=0):
    g = torch.Generator().manual_seed(seed)
    known = torch.rand(n, 1, h, w, generator=g) < 0.3
    return torch.rand(n, c, h, w, generator=g), known


def walked(image, known, row, column, down, right):
    """The reference: step by step."""
    h, w = known.shape
    steps = 0
    while 0 <= row < h and 0 <= column < w:
        if known[row, column]:
            return image[:, row, column], steps * math.hypot(down, right)
        row, column, steps = row - down, column - right, steps + 1
    return torch.zeros(len(image)), math.inf


def test_rays_meet_what_a_walk_pixel_by_pixel_meets():
    image, known = random_case()
    colors, distances = cast_rays(image, known)
    ways = [*WAYS, *((-down, -right) for down, right in WAYS)]
    hole = (~known[:, 0]).nonzero().tolist()
    assert colors.shape == (len(hole), RAYS, 3) and distances.shape == (len(hole), RAYS)
    for p, (i, row, column) in enumerate(hole):
        for ray, way in enumerate(ways):
            color, distance = walked(image[i], known[i, 0], row, column, *way)
            torch.testing.assert_close(colors[p, ray], color, rtol=0, atol=0)
            assert distances[p, ray].item() == pytest.approx(distance, rel=1e-5)


def test_ray_weights_are_positive_and_prefer_near_ends_that_agree():
    distances = torch.full((1, RAYS), 4.0)
    distances[0, 0], distances[0, 5] = 2.0, math.inf
    weights = ray_weights(distances, torch.tensor([[0.0, 0.0, 0.09, 0.0, 0.0, 0.09, 0.0, 0.0]]))[0]
    assert (weights > 0).all()
    assert weights[0] == pytest.approx(2 * weights[1].item(), rel=1e-3)  # nearer
    assert weights[2] < 0.05 * weights[1]  # ends that differ
    assert weights[5] < 1e-6  # nothing was met


def test_an_edge_across_the_hole_is_continued_where_a_smooth_surface_blurs_it():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    image = torch.where(rows + columns > 64, 0.9, 0.1)[..., None].expand(-1, -1, 3).clone()
    mask = torch.ones(64, 64, dtype=torch.bool)
    mask[20:44, 20:44] = False
    scores = []
    for fill in (ray_fill, harmonic_fill):
        filled = fill(image, mask)
        assert torch.equal(filled[mask], image[mask])
        scores.append(hole_psnr(*(x.permute(2, 0, 1)[None] for x in (filled, image)), mask[None, None]).item())
    assert scores[0] > scores[1] + 4


def test_ray_fill_keeps_a_constant_reads_no_hole_and_takes_odd_sizes():
    mask = torch.ones(21, 33, dtype=torch.bool)
    mask[3:15, 0:20] = False
    image = torch.full((21, 33, 3), 0.3)
    torch.testing.assert_close(ray_fill(image, mask), image, rtol=0, atol=1e-5)
    broken = torch.where(mask[..., None], image, torch.nan)
    assert torch.equal(ray_fill(broken, mask), ray_fill(image, mask))


def test_a_new_network_on_rays_draws_the_blend_without_a_network():
    torch.manual_seed(0)
    image, _ = random_case(2, 3, 48, 48)
    mask = torch.ones(2, 1, 48, 48, dtype=torch.bool)
    mask[0, :, 5:30, 12:40], mask[1, :, 20:40, 1:9] = False, False
    model = unet(prefill="rays", stem=2, widths=(8, 16)).eval()
    drawn = torch.where(mask, image, model(image, mask))
    for i in range(2):
        wanted = ray_fill(image[i].permute(1, 2, 0), mask[i, 0])
        torch.testing.assert_close(drawn[i].permute(1, 2, 0), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"stem": 2}, {"conv": "gated", "channels": 1}, {"mask_channel": False}])
def test_a_network_on_rays_takes_any_size_learns_in_the_hole_and_ignores_what_it_held(options):
    torch.manual_seed(0)
    model = unet(prefill="rays", widths=(8, 16), norm="none", **options)
    image, _ = random_case(2, model.channels, 37, 29)
    mask = torch.ones(2, 1, 37, 29)
    mask[:, :, 9:25, 5:20] = 0
    out = model(image, mask)
    assert out.shape == image.shape
    (out - image).mul(1 - mask).square().mean().backward()
    assert model.head.weight.grad.abs().sum() > 0
    with torch.no_grad():
        model.head.weight.normal_(std=0.1)
        assert torch.equal(model(image.masked_fill(mask == 0, torch.nan), mask), model(image, mask))
    assert inpainting_network(**model.settings).settings == model.settings
    assert model.divisor == 2 * options.get("stem", 1) * 2


def test_rays_don_t_go_with_what_they_can_t_use():
    for bad in (dict(conv="partial"), dict(output="sigmoid")):
        with pytest.raises(ValueError, match='prefill="rays"'):
            unet(prefill="rays", **bad)


def test_halved_images_are_means_of_known_pixels():
    image, known = random_case(1, 1, 4, 4)
    half, half_known = halved(image, known)
    for row in range(2):
        for column in range(2):
            block = (..., slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
            inside = known[block]
            assert half_known[0, 0, row, column] == inside.any()
            if inside.any():
                assert half[0, 0, row, column].item() == pytest.approx(image[block][inside].mean().item(), abs=1e-6)


def test_fully_known_and_fully_unknown_images_of_a_batch_do_no_harm():
    model = unet(prefill="rays", widths=(8, 16), norm="none")
    image, mask = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    mask[1] = 0
    assert model(image, mask).isfinite().all()
    assert model(image[:1], mask[:1]).isfinite().all()
