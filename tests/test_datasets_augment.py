"""Flips, shifts and crops per image compared with slow loops, their shares, and splits by group."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from siren_fastai.datasets.augment import Augment, crop_center, take_windows
from siren_fastai.datasets.split import split_groups


def images(n=6, c=3, h=9, w=11):
    return torch.arange(n * c * h * w).remainder(251).to(torch.uint8).view(n, c, h, w) + 1


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("crop, shift", [(None, 0), (None, 3), ((5, 4), 0), ((5, 4), 2), ((9, 1), 1)])
def test_windows_are_those_of_a_loop_over_padded_images(crop, shift):
    data, augment = images(), Augment(0.5, 0.5, shift, crop)
    size = crop or (9, 11)
    index = torch.tensor([5, 0, 3, 3, 1, 2, 4, 0])
    windows = augment.windows(augment.draw(8, seeded()), (9, 11))
    out = take_windows(data, index, windows, size, shift)
    for image, i, (top, left, mirrored, upside_down) in zip(out, index, windows.tolist(), strict=True):
        padded = F.pad(data[i], [shift] * 4)
        expected = padded[:, top + shift :, left + shift :][:, : size[0], : size[1]]
        expected = expected.flip(2) if mirrored else expected
        expected = expected.flip(1) if upside_down else expected
        assert torch.equal(image, expected)


def test_every_place_and_flip_comes_with_its_probability():
    augment = Augment(0.4, 0.2, 2, (5, 4))
    top, left, mirrored, upside_down = augment.windows(augment.draw(40000, seeded()), (9, 11)).T
    for places, count in ((top, 9), (left, 12)):
        values, counts = places.unique(return_counts=True)
        assert values.tolist() == list(range(-2, count - 2))
        assert ((counts - 40000 / count).abs() < 5 * (40000 / count) ** 0.5).all()
    assert float(mirrored.double().mean()) == pytest.approx(0.4, abs=0.0125)
    assert float(upside_down.double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float((mirrored * upside_down).double().mean()) == pytest.approx(0.08, abs=0.007)
    always = Augment(1.0, 1.0, 0)
    assert torch.equal(always(images(), seeded()), images().flip(2, 3))
    assert torch.equal(Augment(0.0, 0.0, 0)(images(), seeded()), images())


def test_the_same_seed_draws_the_same_and_each_image_is_drawn_for_itself():
    same = images(1).expand(64, -1, -1, -1)
    augment = Augment()
    first, second = (augment(same, seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first.flatten(1).unique(dim=0)) > 32
    assert not torch.equal(first, augment(same, seeded(4)))


def test_the_middle_is_the_middle():
    assert torch.equal(crop_center(images(), (5, 5)), images()[:, :, 2:7, 3:8])
    assert crop_center(images(), None).shape == images().shape
    with pytest.raises(ValueError, match="`crop` must fit the images of 9x11 pixels, got 10x5"):
        crop_center(images(), (10, 5))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(flip=1.5), "`flip` must be a probability"),
        (dict(upside_down=-0.1), "`upside_down` must be a probability"),
        (dict(shift=-1), "`shift` must be an integer"),
        (dict(crop=(0, 3)), "`crop` must be"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Augment(**options)


@given(
    groups=st.lists(st.integers(-5, 60), min_size=1, max_size=150),
    valid=st.one_of(st.integers(2, 30), st.floats(0.02, 0.98)),
)
def test_no_group_is_on_both_sides_and_no_image_is_lost(groups, valid):
    groups = torch.tensor(groups)
    count, share = len(groups.unique()), 1 / valid if isinstance(valid, int) else valid
    try:
        train, held_out = split_groups(groups, valid)
    except ValueError:
        assert count * share < 1.001 or count * (1 - share) < 1.001
        return
    assert sorted(train.tolist() + held_out.tolist()) == list(range(len(groups)))
    assert not set(groups[train].tolist()) & set(groups[held_out].tolist())
    assert abs(len(groups[held_out].unique()) - count * share) <= 1.001


def test_every_21st_group_validates():
    train, held_out = split_groups(torch.arange(84) // 2)
    assert held_out.tolist() == [40, 41, 82, 83] and len(train) == 80
    assert split_groups(torch.arange(10), 0.3)[1].tolist() == [3, 6, 9]


@pytest.mark.parametrize("valid", [1, 0, 1.0, 0.0, "all", True])
def test_a_bad_share_is_named(valid):
    with pytest.raises(ValueError, match="`valid` must be an integer above 1"):
        split_groups(torch.arange(50), valid)


def test_too_few_groups_are_said_so():
    with pytest.raises(ValueError, match="takes 0 of 80 images, which come in 20 groups"):
        split_groups(torch.arange(80) // 4)
    with pytest.raises(ValueError, match="`groups` must be"):
        split_groups(torch.zeros(3))
