"""Masks: rectangles where the draws say, files of many kinds, known pixels bit for bit, and clear errors."""

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.inpainting.masks import Rectangles, check_mask, composite, load_mask
from siren_fastai.inpainting.strokes import Strokes


def half_known(height=6, width=8):
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[:, : width // 2] = False
    return mask


def drawn(holes, n=200, size=(16, 20), seed=0):
    return np.stack([holes.draw(np.random.default_rng([seed, i]), size) for i in range(n)])


def test_rectangles_are_painted_pixel_by_pixel_where_they_were_drawn():
    draws = drawn(Rectangles(1, 3, side=(2, 7)), n=8)
    wanted = np.ones((8, 1, 16, 20), bool)
    for image, rows in zip(wanted, draws, strict=True):
        for top, left, height, width in rows:
            image[:, top : top + height, left : left + width] = False
    assert np.array_equal(Rectangles(1, 3, side=(2, 7)).paint(torch.from_numpy(draws), (16, 20)).numpy(), wanted)


def test_rectangles_keep_to_their_count_their_sides_and_the_image_and_reach_every_bound():
    draws = drawn(Rectangles(1, 3, side=(2, 7)), n=500)
    used = draws[..., 2] > 0
    assert set(used.sum(1)) == {1, 2, 3}
    sides, ends = draws[used][:, 2:], draws[used][:, :2] + draws[used][:, 2:]
    assert set(sides[:, 0]) == set(sides[:, 1]) == set(range(2, 8))
    assert draws[used][:, :2].min() == 0 and tuple(ends.max(0)) == (16, 20)
    assert not draws[~used].any()


def test_the_same_generator_draws_the_same_holes_and_another_draws_others():
    holes = Rectangles(2, 2, side=(3, 9))
    assert np.array_equal(drawn(holes), drawn(holes)) and not np.array_equal(drawn(holes), drawn(holes, seed=1))


@pytest.mark.parametrize("bad", [dict(least=0), dict(least=3, most=2), dict(side=(9, 8)), dict(side=(1.5, 3))])
def test_impossible_ranges_of_rectangles_are_refused(bad):
    with pytest.raises(ValueError, match="must be two integers, 1 <= first <= second, got"):
        Rectangles(**bad)


def test_rectangles_that_could_cover_the_image_are_refused():
    with pytest.raises(ValueError, match="3 rectangles of up to 16 x 16 pixels could cover a whole image of 16 x 20"):
        Rectangles(side=(8, 16)).draw(np.random.default_rng(0), (16, 20))
    with pytest.raises(ValueError, match="could cover"):
        Rectangles(1, 4, side=(8, 15)).draw(np.random.default_rng(0), (16, 20))
    masks = Rectangles(3, 3, side=(15, 15)).paint(torch.from_numpy(drawn(Rectangles(3, 3, side=(15, 15)))), (16, 20))
    assert masks.flatten(1).any(1).all()


def test_the_composite_keeps_known_pixels_bit_for_bit():
    pred, image = torch.rand(2, 3, 6, 8), torch.rand(2, 3, 6, 8)
    mask = half_known()[None, None].expand(2, 1, 6, 8)
    filled = composite(pred, image, mask.float())
    known = mask.expand_as(image)
    assert torch.equal(filled[known], image[known]) and torch.equal(filled[~known], pred[~known])
    alone = composite(pred[0].permute(1, 2, 0), image[0].permute(1, 2, 0), half_known())
    assert torch.equal(alone, filled[0].permute(1, 2, 0))


def test_the_composite_has_the_images_type_even_where_the_prediction_has_not():
    image, mask = torch.rand(1, 3, 6, 8), half_known()[None, None]
    filled = composite(torch.full_like(image, torch.nan).bfloat16(), image, mask)
    assert filled.dtype == torch.float32 and torch.equal(filled[..., 4:], image[..., 4:])


@pytest.mark.parametrize("mask", [(1, 6, 8), (2, 3, 6, 8), (2, 1, 6, 7), (6, 8)])
def test_the_composite_broadcasts_nothing(mask):
    image = torch.rand(2, 3, 6, 8)
    with pytest.raises(ValueError, match="`pred` and `image` must be"):
        composite(image, image, torch.ones(mask))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_white_is_known_and_black_a_hole_in_files_of_every_mode(tmp_path, mode):
    levels = half_known().numpy().astype(np.uint8) * 255
    picture = Image.fromarray(levels) if mode != "I;16" else Image.fromarray(levels.astype(np.uint16) * 257)
    (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / "mask.png")
    assert torch.equal(load_mask(tmp_path / "mask.png", (6, 8)), half_known())


def test_the_noise_of_a_jpeg_does_no_harm(tmp_path):
    mask = half_known(40, 64)
    Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(tmp_path / "mask.jpg", quality=60)
    assert torch.equal(load_mask(tmp_path / "mask.jpg"), mask)


def test_a_file_of_zeros_and_ones_is_a_mask_too(tmp_path):
    Image.fromarray(half_known().numpy().astype(np.uint8)).save(tmp_path / "labels.png")
    assert torch.equal(load_mask(tmp_path / "labels.png"), half_known())


@pytest.mark.parametrize(
    "make",
    [
        lambda mask: mask,
        lambda mask: mask.numpy(),
        lambda mask: mask[None],
        lambda mask: mask[..., None].float(),
        lambda mask: mask.numpy().astype(np.int64),
        lambda mask: mask.numpy().astype(np.uint8) * 255,
    ],
)
def test_masks_come_from_arrays_and_tensors_of_many_kinds(make):
    loaded = load_mask(make(half_known()))
    assert loaded.dtype == torch.bool and torch.equal(loaded, half_known())


def test_masks_of_one_row_or_column_keep_their_shape():
    for shape in ((1, 8), (8, 1)):
        mask = (torch.arange(8) < 4).view(shape)
        picture = Image.fromarray(mask.numpy().astype(np.uint8) * 255)
        assert torch.equal(load_mask(picture, shape), mask) and torch.equal(load_mask(mask[..., None], shape), mask)


def test_a_photo_and_a_transparent_picture_are_no_masks():
    with pytest.raises(ValueError, match="got [0-9]+% of its pixels in between: is it a photo"):
        load_mask(np.random.default_rng(0).random((20, 20)))
    clear = Image.new("RGBA", (8, 6), (255, 255, 255, 0))
    with pytest.raises(ValueError, match="transparent pixels.*save it without transparency"):
        load_mask(clear)


def test_masks_that_cannot_serve_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match="the mask has 6 x 8 pixels, but the image 8 x 6"):
        load_mask(half_known(), size=(8, 6))
    with pytest.raises(ValueError, match="the mask is empty: every pixel is known"):
        load_mask(np.ones((6, 8), bool))
    with pytest.raises(ValueError, match="the hole covers the whole image.*inverted"):
        load_mask(np.zeros((6, 8), bool))
    with pytest.raises(ValueError, match="one mask for all channels"):
        check_mask(torch.ones(3, 6, 8, dtype=torch.bool), (6, 8))
    with pytest.raises(TypeError, match="must be a bool tensor.*float32"):
        check_mask(torch.ones(6, 8), (6, 8))


STROKES = Strokes(1, 2, pieces=(1, 3), length=(3, 8), width=(2, 4))


def test_strokes_are_painted_where_a_pixels_centre_is_within_the_radius_of_a_piece():
    draws = drawn(STROKES, n=6, size=(20, 24))
    masks = STROKES.paint(torch.from_numpy(draws), (20, 24))[:, 0].numpy()
    for mask, pieces in zip(masks, draws, strict=True):
        for y, x in np.ndindex(20, 24):
            centre, distances = np.array([y + 0.5, x + 0.5]), []
            for piece in pieces[pieces[:, 4] > 0]:
                points = piece[:2] + np.linspace(0, 1, 400)[:, None] * (piece[2:4] - piece[:2])
                distances.append(np.linalg.norm(points - centre, axis=1).min() - piece[4])
            assert abs(min(distances)) < 0.01 or mask[y, x] == (min(distances) > 0)


def test_strokes_are_chains_that_keep_to_their_ranges():
    draws = drawn(STROKES, n=400, size=(20, 24)).reshape(400, 2, 3, 5)
    used = draws[..., 4] > 0
    counts = used.sum(2)
    assert set(counts.max(1)) == {1, 2, 3} and set((counts > 0).sum(1)) == {1, 2}
    lengths = np.linalg.norm(draws[..., 2:4] - draws[..., :2], axis=-1)
    assert 3 <= lengths.min() < 3.2 and 7.8 < lengths.max() <= 8
    assert 1 <= draws[used][:, 4].min() < 1.1 and 1.9 < draws[used][:, 4].max() <= 2
    np.testing.assert_array_equal(draws[:, :, 1:, :2], draws[:, :, :-1, 2:4])
    masks = STROKES.paint(torch.from_numpy(draws.reshape(400, 6, 5)), (20, 24))
    assert masks.flatten(1).any(1).all() and not masks.flatten(1).all(1).any()


def test_strokes_that_could_cover_the_image_or_miss_every_pixel_are_refused():
    with pytest.raises(ValueError, match="3 strokes of up to 5 pieces of 32 x 15 pixels could cover a whole image"):
        Strokes().draw(np.random.default_rng(0), (64, 64))
    with pytest.raises(ValueError, match="`width` must be two integers, 2 <= first"):
        Strokes(width=(1, 4))


@pytest.mark.parametrize("holes", [Rectangles(1, 3, side=(3, 9)), STROKES])
def test_holes_are_drawn_and_painted_alike_alone_and_in_a_batch(holes):
    draws = torch.from_numpy(drawn(holes, n=5, size=(20, 24)))
    alone = torch.cat([holes.paint(draw[None], (20, 24)) for draw in draws])
    assert torch.equal(holes.paint(draws, (20, 24)), alone) and holes.largest == (9 if len(draws[0]) == 3 else 4)
