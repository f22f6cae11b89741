"""Views of photos: where their pixels come from, read off photos whose colours are positions, and their colours."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from siren_fastai.images import LUMA
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views, take_views

COLORS = (0.0, 0.0, 0.0, 0.0)


def positions(height, width):
    """A photo (3, height, width) whose red is the row and whose green is the column; blue is 200."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, torch.full_like(rows, 200)]).to(torch.uint8)


def draws(views, n, seed=0):
    numbers = [views.draw(np.random.default_rng(np.random.SeedSequence([seed, 0, i]))) for i in range(n)]
    return torch.from_numpy(np.stack(numbers)).float()


def seen(views, photos, n, size, seed=0):
    """`n` views of each photo in turn, in levels from 0 to 255."""
    sources = Sources(photos)
    index = torch.arange(n) % len(photos)
    return 255 * take_views(sources, index, draws(views, n, seed), views, size)


def steps(view):
    """How row and column of the photo change from row to row and from column to column of the view: (2, 2)."""
    at = view[:2]
    return torch.stack([at[:, -1, 0] - at[:, 0, 0], at[:, 0, -1] - at[:, 0, 0]], 1) / (torch.tensor(view.shape[1:]) - 1)


def test_pixel_by_pixel_a_view_is_a_piece_of_its_photo_flipped_or_not():
    photos = [positions(40, 60), positions(16, 12), positions(200, 90)]
    views = Views(0.0, (1, 1), 1.0, 0.5, 0.5, COLORS)
    found = set()
    for i, view in enumerate(seen(views, photos, 60, (16, 12))):
        photo, (step, across) = photos[i % 3], steps(view).round().int().tolist()
        top, left = int(view[0].min().round()), int(view[1].min().round())
        piece = photo[:, top : top + 16, left : left + 12]
        piece = piece.flip(1) if step[0] < 0 else piece
        piece = piece.flip(2) if across[1] < 0 else piece
        assert torch.equal(view.round().to(torch.uint8), piece)
        assert torch.equal(view / 255, piece.float() / 255)
        found.add((step[0], across[1]))
    assert found == {(1, 1), (-1, 1), (1, -1), (-1, -1)}


def test_every_place_is_as_likely():
    views = Views.plain()
    tops = seen(views, [positions(20, 20)], 4000, (16, 16))[:, 0, 0, 0].round().int()
    counts = tops.bincount(minlength=5)
    assert len(counts) == 5 and ((counts - 800).abs() < 5 * 800**0.5).all()


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_warped_view_is_turned_and_zoomed_by_what_was_drawn_and_never_stretched(size):
    views = Views(20.0, (0.8, 1.6), 1.0, 0.0, 0.0, COLORS)
    angles, zooms = [], []
    for view in seen(views, [positions(200, 220)], 200, size):
        at, step = view[:2], steps(view)
        if at.min() == 0 or at[0].max() > 198.99 or at[1].max() > 218.99:
            continue  # half a pixel at the border of a photo, which its outermost pixels fill
        plane = step[:, 0, None, None] * torch.arange(size[0])[:, None] + step[:, 1, None, None] * torch.arange(size[1])
        assert (at - at[:, :1, :1] - plane).abs().max() < 1e-2  # the same steps everywhere
        assert (
            step.T @ step - torch.eye(2) * (step[:, 0] ** 2).sum()
        ).abs().max() < 1e-2  # of one length, at right angles
        assert torch.det(step) > 0
        angles.append(math.degrees(math.atan2(float(step[1, 0]), float(step[0, 0]))))
        zooms.append(1 / float(step[:, 0].norm()))
    assert -20.1 < min(angles) < -18 and 18 < max(angles) < 20.1
    assert 0.79 < min(zooms) < 0.83 and 1.55 < max(zooms) < 1.61


def test_no_view_shows_anything_from_outside_its_photo():
    """The photos lie next to each other in memory; a window as large as its photo must be zoomed to be turned."""
    photos = [torch.full((3, *size), level) for size, level in [((16, 16), 255), ((16, 40), 100), ((30, 16), 0)]]
    photos = [photo.to(torch.uint8) for photo in photos]
    views = Views(180.0, (0.5, 3.0), 0.9, 0.5, 0.5, COLORS)
    for i, view in enumerate(seen(views, photos, 300, (16, 16))):
        assert (view - float(photos[i % 3][0, 0, 0])).abs().max() < 1e-2


def test_views_reach_the_borders_of_the_photo_and_stay_inside():
    views = Views(45.0, (0.5, 1.0), 1.0, recolor=COLORS)
    rows = seen(views, [positions(60, 50)], 400, (16, 16))[:, 0]
    assert -1e-3 < rows.min() < 1 and 58 < rows.max() < 59.001


def test_a_draw_makes_one_view_whatever_else_is_in_the_batch():
    sources, views = Sources([positions(40, 60), positions(50, 30)]), Views()
    numbers, index = draws(views, 12), torch.arange(12) % 2
    whole = take_views(sources, index, numbers, views, (16, 16))
    order = torch.tensor([7, 2, 11])
    torch.testing.assert_close(take_views(sources, index[order], numbers[order], views, (16, 16)), whole[order])
    same = take_views(sources, torch.zeros(12).long(), numbers, views, (16, 16))
    assert len(same.flatten(1).unique(dim=0)) == 12


def colored(numbers, most, photo):
    """A photo in the colours of the four numbers from -1 to 1."""
    sources = Sources([photo])
    views = Views(0.0, (1, 1), 0.0, 0.0, 0.0, most)
    row = torch.zeros(1, 11)
    row[0, 7:] = (torch.tensor(numbers) + 1) / 2
    return take_views(sources, torch.tensor([0]), row, views, tuple(photo.shape[1:]))[0]


def test_brightness_contrast_saturation_and_hue_are_those_of_their_formulas():
    photo = torch.randint(64, 192, (3, 8, 8), dtype=torch.uint8)
    x = photo / 255
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(colored([1.0, 0, 0, 0], (0.1, 0, 0, 0), photo), x + 0.1, **close)
    torch.testing.assert_close(colored([0, -0.5, 0, 0], (0, 0.4, 0, 0), photo), (x - 0.5) * 0.8 + 0.5, **close)
    gray = (x * torch.tensor(LUMA)[:, None, None]).sum(0).expand(3, -1, -1)
    torch.testing.assert_close(colored([0, 0, -1.0, 0], (0, 0, 1, 0), photo), gray, **close)
    torch.testing.assert_close(colored([0, 0, 0, 1.0], (0, 0, 0, 120), photo), x.roll(1, 0), **close)
    assert colored([1.0, 0, 0, 0], (1, 0, 0, 0), photo).max() == 1


def test_grays_stay_gray_and_gray_photos_have_brightness_and_contrast():
    gray = torch.randint(256, (1, 8, 8), dtype=torch.uint8)
    numbers = [0.0, 0.0, 0.7, -0.6]
    same = colored(numbers, (0, 0, 1, 180), gray.repeat(3, 1, 1))
    torch.testing.assert_close(same, gray.repeat(3, 1, 1) / 255, atol=1e-5, rtol=0)
    numbers, most = [0.5, -1.0, 0.3, 0.9], (0.2, 0.5, 1, 90)
    expected = ((gray / 255 - 0.5) * 0.5 + 0.5 + 0.1).clamp(0, 1)
    torch.testing.assert_close(colored(numbers, most, gray), expected, atol=1e-5, rtol=0)


def test_photos_of_any_sizes_are_read_and_shrunk_on_request(tmp_path):
    for i, size in enumerate([(60, 40), (30, 90)]):
        Image.new("RGB", size, (10 * i, 20, 30)).save(tmp_path / f"{i}.png")
    sources = Sources.read(tmp_path)
    assert sources.sizes.tolist() == [[40, 60], [90, 30]] and sources.channels == 3
    assert sources.nbytes == 3 * (40 * 60 + 90 * 30)
    assert "2 images of 40x30 to 90x60 pixels, 3 channels" in repr(sources)
    assert sources[1][:, 0, 0].tolist() == [10, 20, 30]
    small = Sources.read(tmp_path, shrink=35)
    assert small.sizes.tolist() == [[35, 52], [90, 30]]
    last = small.subset([1])
    assert torch.equal(last[0], sources[1]) and len(last) == 1 and last.names[0].endswith("1.png")
    assert len(small.empty()) == 0 and small.empty().channels == 3


def test_a_photo_that_is_too_small_is_named():
    with pytest.raises(ValueError, match=r"image 1 has 20x30 pixels, .* `size` 24x24: leave it out"):
        Sources([positions(40, 40), positions(20, 30)]).check_holds((24, 24))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rotate": 200}, "`rotate` must be from 0 to 180 degrees, got 200"),
        ({"zoom": (0.2, 1)}, r"`zoom` must be \(least, greatest\), 0.5 or more"),
        ({"zoom": (2, 1)}, "`zoom` must be"),
        ({"flip": 1.5}, "`flip` must be a probability"),
        ({"warp": -0.1}, "`warp` must be a probability"),
        ({"recolor": (0.1, 0.1)}, "`recolor` must be"),
        ({"recolor": (0.1, 0.1, 0.1, float("nan"))}, "`recolor` must be"),
    ],
)
def test_wrong_settings_are_errors_that_say_what_is_right(options, message):
    with pytest.raises(ValueError, match=message):
        Views(**options)


def test_sources_need_images_of_one_kind():
    with pytest.raises(ValueError, match="with one c, got"):
        Sources([positions(8, 8), positions(8, 8)[:1]])
    with pytest.raises(ValueError, match="must be"):
        Sources([])


def test_sources_are_shrunk_on_request_too_and_never_change_their_channels():
    generator = torch.Generator().manual_seed(0)
    sources = Sources([torch.randint(256, (3, *size), generator=generator).byte() for size in ((40, 60), (16, 20))])
    assert Sources.read(sources) is sources and Sources.read(sources, 60, 3) is sources
    arrays = [sources[i].permute(1, 2, 0).numpy() for i in (0, 1)]
    shrunk, wanted = Sources.read(sources, 20), Sources.read(arrays, 20)
    assert shrunk.sizes.tolist() == [[20, 30], [16, 20]] and torch.equal(shrunk.flat, wanted.flat)
    with pytest.raises(ValueError, match="have 3 channels, got `channels`=1"):
        Sources.read(sources, channels=1)
