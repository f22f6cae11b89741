"""Errors where the image is known and was hidden, scores in standard deviations, and how well they separate."""

import pytest
import torch
from torch import nn

from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.unfamiliar import Familiar, auroc, hidden_errors

HOLES = Rectangles(1, 2, side=(3, 6))


class Constant(nn.Module):
    """Predicts one value, and keeps the masks that it was given."""

    def __init__(self, value=0.5):
        super().__init__()
        self.value, self.masks = nn.Parameter(torch.tensor(value)), []

    def forward(self, image, mask):
        self.masks.append(mask)
        return self.value.expand_as(image)


def images(n=20, seed=0):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def known(n=20):
    masks = torch.ones(n, 1, 16, 16)
    masks[:, :, :7] = 0
    return masks


def test_the_error_is_that_of_known_pixels_that_the_network_did_not_see():
    model, x, masks = Constant().train(), images(), known()
    errors = hidden_errors(model, x, masks, HOLES, repeats=3)
    shown = torch.stack([torch.cat(model.masks[i : i + 2]) for i in (0, 2, 4)])  # 20 images are two batches
    hidden = masks * (1 - shown)
    expected = ((0.5 - x).abs().mean(1, keepdim=True) * hidden).sum((0, 2, 3, 4)) / hidden.sum((0, 2, 3, 4))
    torch.testing.assert_close(errors, expected)
    assert model.training and not shown[:, :, :, :7].any()
    assert len(shown.flatten(2).transpose(0, 1).flatten(1).unique(dim=0)) == 20


def test_what_is_hidden_depends_on_the_seed_alone():
    first, second, other = (hidden_errors(Constant(), images(), None, HOLES, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_score_is_in_standard_deviations_of_the_logarithm():
    errors = torch.tensor([0.01, 0.02, 0.04, 0.08])
    familiar = Familiar.of(errors)
    score = familiar.score(errors)
    assert float(score.mean()) == pytest.approx(0, abs=1e-6) and float(score.std()) == pytest.approx(1)
    assert (score.diff() == pytest.approx(float(score[1] - score[0]))) and familiar.score(torch.zeros(1)).isfinite()


def test_the_area_under_the_curve_is_the_chance_of_a_higher_score():
    familiar, unfamiliar = torch.tensor([0.1, 0.4, 0.35]), torch.tensor([0.8, 0.4, 0.2, 0.9])
    pairs = [(u > f) + 0.5 * (u == f) for f in familiar for u in unfamiliar]
    assert auroc(familiar, unfamiliar) == pytest.approx(float(sum(pairs)) / 12)
    assert auroc(familiar, familiar) == 0.5


def test_images_that_a_constant_cannot_fill_are_told_from_those_that_it_can():
    gray = 0.5 + 0.1 * (images(12) - 0.5)
    familiar = Familiar.of(hidden_errors(Constant(), gray, None, HOLES))
    fresh = familiar.score(hidden_errors(Constant(), 0.5 + 0.1 * (images(12, 1) - 0.5), None, HOLES))
    other = familiar.score(hidden_errors(Constant(), images(12, 2), None, HOLES))
    assert auroc(fresh, other) == 1 and other.min() > 3


def test_what_cannot_be_measured_is_an_error():
    with pytest.raises(ValueError, match="nothing known was hidden in image 1"):
        masks = torch.ones(2, 1, 16, 16)
        masks[1] = 0
        hidden_errors(Constant(), images(2), masks, HOLES)
    with pytest.raises(ValueError, match=r"`masks` must be \(2, 1, 16, 16\)"):
        hidden_errors(Constant(), images(2), torch.ones(2, 3, 16, 16), HOLES)
    with pytest.raises(ValueError, match="two images or more"):
        Familiar.of(torch.tensor([0.1]))
