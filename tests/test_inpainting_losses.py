"""The inpainting loss against the paper's sums, pixel by pixel; images without a hole; what it asks of a network."""

import numpy as np
import pytest
import torch

from siren_fastai.inpainting.losses import HoleDecibels, InpaintingLoss, seam_variation


def batch(n=3, size=(7, 9)):
    """Predictions, targets and masks; the last image has no hole."""
    mask = torch.ones(n, 1, *size)
    mask[0, :, 2:5, 3:6], mask[1, :, 0:2, 5:] = 0, 0
    return torch.rand(n, 3, *size), torch.rand(n, 3, *size), mask


def paper(pred, target, mask, weights, power=1):
    """Liu et al. 2018, sec. 3.3, for one image as arrays: the sums with their 1/N, one pixel at a time."""
    known, n, (c, h, w) = mask[0] > 0, pred.size, pred.shape
    hole_error = known_error = variation = 0.0
    filled = np.where(known, target, pred)
    around = np.zeros((h, w), bool)
    for y, x in zip(*np.nonzero(~known), strict=True):
        around[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
    for k, y, x in np.ndindex(c, h, w):
        error = abs(pred[k, y, x] - target[k, y, x]) ** power
        hole_error, known_error = hole_error + error * (not known[y, x]), known_error + error * known[y, x]
        for below, right in ((1, 0), (0, 1)):
            if y + below < h and x + right < w and around[y, x] and around[y + below, x + right]:
                variation += abs(filled[k, y + below, x + right] - filled[k, y, x])
    return (weights[0] * hole_error + weights[1] * known_error + weights[2] * variation) / n


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize("weights", [(6, 1, 0.1), (1, 0, 0), (0, 2, 0), (0, 0, 3)])
def test_the_loss_is_the_papers_for_each_image_and_their_mean(kind, power, weights):
    parts = batch()
    wanted = [paper(*(part[i].numpy().astype(np.float64) for part in parts), weights, power) for i in range(3)]
    loss = InpaintingLoss(*weights, kind=kind)
    assert loss(*parts).item() == pytest.approx(np.mean(wanted), rel=1e-5)
    loss.reduction = "none"
    np.testing.assert_allclose(loss(*parts).numpy(), wanted, rtol=1e-5, atol=1e-7)


def test_a_part_can_be_divided_by_its_own_pixels():
    pred, target, mask = batch()
    each = InpaintingLoss(2, 3, seam=0, kind="l2", per_part=True, reduction="none")(pred, target, mask)
    for i in range(3):
        square, known = (pred[i] - target[i]).square(), mask[i].bool().expand(3, -1, -1)
        hole = square[~known].mean() if i < 2 else 0.0
        assert each[i].item() == pytest.approx(float(2 * hole + 3 * square[known].mean()), rel=1e-5)


@pytest.mark.parametrize("per_part", [True, False])
def test_an_image_without_a_hole_or_with_nothing_known_gives_finite_losses_and_gradients(per_part):
    pred, target, mask = batch()
    mask[0] = 0
    loss = InpaintingLoss(per_part=per_part)(pred.requires_grad_(), target, mask)
    loss.backward()
    assert loss.isfinite() and pred.grad.isfinite().all() and pred.grad[1].any()


def test_the_seam_is_smooth_where_the_prediction_continues_the_image():
    target = torch.full((1, 1, 8, 8), 0.4)
    mask = torch.ones(1, 1, 8, 8)
    mask[..., 3:5, 3:5] = 0
    assert not seam_variation(target, mask).any()
    target[..., 3:5, 3:5] = 0.9  # an edge of 8 steps of 0.5 around the hole
    torch.testing.assert_close(seam_variation(target, mask), torch.tensor([8 * 0.5 / 64]))


def test_the_hook_gets_the_composite_and_adds_to_the_loss():
    pred, target, mask = batch()
    seen = []

    def perceptual(filled, wanted):
        seen.append((filled, wanted))
        return filled.mean() * 0 + 0.25

    plain, hooked = InpaintingLoss()(pred, target, mask), InpaintingLoss(perceptual=perceptual)(pred, target, mask)
    assert (hooked - plain).item() == pytest.approx(0.25, abs=1e-6)
    known = mask.bool().expand_as(target)
    assert torch.equal(seen[0][0][known], target[known]) and torch.equal(seen[0][0][~known], pred[~known])


def test_half_precision_is_summed_in_full():
    pred, target, mask = batch()
    loss = InpaintingLoss()(pred.bfloat16(), target, mask)
    assert loss.dtype == torch.float32 and torch.equal(loss, InpaintingLoss()(pred.bfloat16().float(), target, mask))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kind="l3"), r"`kind` must be one of \('l1', 'l2'\), got 'l3'"),
        (dict(hole=-1), "`hole` must be a weight of 0 or more, got -1"),
        (dict(seam=float("nan")), "`seam` must be a weight"),
        (dict(hole=0, known=0, seam=0), "nothing would be trained"),
    ],
)
def test_impossible_weights_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InpaintingLoss(**options)


def test_hole_decibels_are_what_the_holes_lack():
    target = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 1, 8, 8)
    mask[:, :, 2:5, 3:7] = 0
    loss = HoleDecibels(best=60)
    far = target + 9 * mask  # what is drawn outside the hole doesn't count
    assert loss(far, target, mask).item() == 0
    wrong = far + torch.tensor([0.1, 0.01])[:, None, None, None] * (1 - mask)  # 20 dB and 40 dB
    assert loss(wrong, target, mask).item() == pytest.approx((40 + 20) / 2, abs=0.03)
    assert loss(wrong, target, torch.ones_like(mask)).item() == 0
    for bad in (0, float("inf")):
        with pytest.raises(ValueError, match="`best` must be a PSNR"):
            HoleDecibels(best=bad)
