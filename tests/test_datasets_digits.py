"""Digits: scanned ones enlarged as expected, and drawn ones that differ but don't depend on each other."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from siren_fastai.datasets.digits import DIGITS_TRAIN, GLYPH_FACES, _glyph, digits28, glyphs28


def test_scanned_digits_are_enlarged_linearly():
    images, groups = digits28()
    expected = F.interpolate(torch.tensor(load_digits().images)[:, None] / 16, size=28, mode="bilinear")
    assert images.dtype == torch.uint8 and len(groups) == 1797
    assert (images - 255 * expected).abs().max() <= 0.5 + 1e-6


def test_the_median_digit_has_the_known_error():
    images = digits28()[0] / 255
    train, valid = images[:DIGITS_TRAIN], images[DIGITS_TRAIN:]
    assert len(valid) == 360
    assert float((valid - train.median(0).values).abs().mean()) == pytest.approx(0.1513, abs=5e-5)


def test_a_glyph_depends_on_its_index_and_the_seed_alone():
    images, groups = glyphs28(20, seed=2)
    assert images.shape == (20, 1, 28, 28) and images.dtype == torch.uint8 and groups.tolist() == list(range(20))
    assert torch.equal(glyphs28(3, seed=2)[0], images[:3])
    assert not torch.equal(glyphs28(3, seed=3)[0], images[:3])


def test_glyphs_are_all_there_differ_and_are_not_cut_off():
    images = glyphs28(300)[0][:, 0].float() / 255
    assert len(images.flatten(1).unique(dim=0)) == 300
    ink = images.mean((1, 2))
    assert 0.02 < ink.min() and ink.max() < 0.4
    border = torch.cat([images[:, [0, -1]].flatten(1), images[:, :, [0, -1]].flatten(1)], 1)
    assert ((border > 0.5).any(1)).float().mean() < 0.02
    middle = (images * torch.arange(28.0)).sum((1, 2)) / images.sum((1, 2))
    assert 11.5 < middle.mean() < 15.5 and middle.std() > 1


@pytest.mark.parametrize("face", GLYPH_FACES)
def test_every_face_has_ten_different_digits_and_wider_pens_more_ink(face):
    glyphs = [_glyph(face, digit, 0) for digit in range(10)]
    assert len({glyph.tobytes() for glyph in glyphs}) == 10
    for glyph in glyphs:
        rows = glyph.any(1).nonzero()[0]
        assert abs(int(rows[0]) + int(rows[-1]) - 111) <= 2  # in the middle
    assert _glyph(face, 8, 3).astype(int).sum() > 1.2 * glyphs[8].astype(int).sum()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`count` must be an integer of 1 or more, got 0"):
        glyphs28(0)
