"""Inpainting networks: any size, holes that never leak, skips, receptive fields, settings and clear errors."""

import json
import math

import pytest
import torch
from torch import nn

from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.networks import InpaintingNetwork, ae, ae_fc, inpainting_network, unet

pytestmark = pytest.mark.numerics

SMALL = dict(widths=(8, 12, 16), convs=1)
KINDS = {
    "ae": lambda **options: ae(**SMALL | options),
    "ae_fc": lambda **options: ae_fc(size=16, code_size=10, **SMALL | options),
    "unet": lambda **options: unet(**SMALL | options),
    "unet_no_last_skip": lambda **options: unet(last_skip=False, **SMALL | options),
}
OPTIONS = {
    "plain": dict(),
    "gated": dict(conv="gated"),
    "partial": dict(conv="partial"),
    "dilated": dict(dilation=(2, 4)),
    "attention": dict(attention=True),
    "no mask channel": dict(mask_channel=False),
    "mean": dict(prefill="mean"),
    "smooth residual": dict(prefill="smooth", residual=True),
    "stem": dict(stem=2),
    "partial stem": dict(conv="partial", stem=2, dilation=(2,)),
    "group": dict(norm="group", conv="gated"),
    "no norm": dict(norm="none", conv="partial"),
    "sigmoid": dict(output="sigmoid"),
    "gray": dict(channels=1),
}


def images(n=2, channels=3, size=(16, 16), hole=(4, 11)):
    mask = torch.ones(n, 1, *size, dtype=torch.bool)
    mask[:, :, hole[0] : hole[1], hole[0] : hole[1]] = False
    return torch.rand(n, channels, *size), mask


def redraw_(model):
    """Random weights everywhere, those that start at zero too."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_fills_images_reads_no_hole_trains_and_is_rebuilt_from_its_settings(kind, options):
    model = redraw_(KINDS[kind](**options))
    image, mask = images(channels=model.channels)
    pred = model(image, mask.float())
    assert pred.shape == image.shape and pred.isfinite().all()
    pred.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    assert torch.equal(model(image.masked_fill(~mask, torch.nan), mask), model(image, mask))
    other = inpainting_network(**json.loads(json.dumps(model.settings))).eval()
    assert other.settings == model.settings
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(image, mask), model(image, mask))


@pytest.mark.parametrize("options", [{}, dict(conv="partial"), dict(stem=2, prefill="smooth"), dict(attention=True)])
@pytest.mark.parametrize("size", [(16, 24), (13, 18), (3, 5)])
def test_images_of_any_size_are_filled_and_known_as_padded_with_a_hole(size, options):
    model = redraw_(unet(**SMALL | options)).eval()
    image, mask = images(size=size, hole=(1, 3))
    pred = model(image, mask)
    assert pred.shape == image.shape
    height, width = (-(-n // model.divisor) * model.divisor for n in size)
    whole, known = torch.rand(2, 3, height, width), torch.zeros(2, 1, height, width)
    whole[..., : size[0], : size[1]], known[..., : size[0], : size[1]] = image, mask.float()
    assert torch.equal(model(whole, known)[..., : size[0], : size[1]], pred)


def sees(model, size=160):
    """The greatest extent of pixels that a pixel of the output depends on, over a period of output pixels."""
    image = torch.zeros(1, model.channels, size, size, dtype=torch.float64, requires_grad=True)
    pred, extent = model(image, torch.ones(1, 1, size, size)), 0
    for at in range(size // 2, size // 2 + model.divisor):
        (grad,) = torch.autograd.grad(pred[0, 0, at, at], image, retain_graph=True)
        rows = grad[0].sum(0).any(1).nonzero()
        extent = max(extent, int(rows.max() - rows.min()) + 1)
    return extent


@pytest.mark.parametrize(
    "options",
    [
        dict(widths=(4,), convs=2),
        dict(widths=(4, 4), convs=1),
        dict(widths=(4, 4, 4), convs=2),
        dict(widths=(4, 4, 4), convs=1, dilation=(2, 4)),
        dict(widths=(4, 4), convs=1, stem=2),
        dict(widths=(4, 4, 4), convs=1, conv="gated"),
        dict(widths=(4, 4, 4), convs=1, conv="partial"),
        dict(widths=(4, 4, 4), convs=1, last_skip=False),
    ],
    ids=str,
)
def test_the_receptive_field_is_what_gradients_find(options):
    model = redraw_(unet(norm="none", **options)).double()
    assert sees(model) == model.receptive_field


def test_dilation_makes_the_default_network_see_beyond_the_largest_hole():
    largest = Rectangles(1, 2, side=(24, 56)).side[1]
    plain, dilated = unet(), unet(dilation=(2, 4, 8))
    assert plain.receptive_field == 95 and dilated.receptive_field == 95 + 2 * 8 * (2 + 4 + 8)
    assert largest < plain.receptive_field and f"receptive field of {dilated.receptive_field} pixels" in repr(dilated)
    assert unet(attention=True).receptive_field == ae_fc(32).receptive_field == math.inf


@pytest.mark.parametrize("last_skip", [True, False])
def test_without_the_last_skip_the_decoder_sees_nothing_of_the_first_level(last_skip):
    model = redraw_(unet(last_skip=last_skip, norm="none", **SMALL))
    for parameter in model.merges.parameters():  # the only other way to the last level
        nn.init.zeros_(parameter)
    image, mask = images()
    assert torch.equal(model(image, mask), model(1 - image, mask)) != last_skip


def test_a_residual_network_starts_as_its_prefill():
    image, mask = images()
    for prefill in ("black", "mean", "smooth"):
        filled = unet(prefill=prefill, residual=True, **SMALL)(image, mask)
        known = mask.expand_as(image)
        assert torch.equal(filled[known], image[known])
    black = unet(residual=True, **SMALL)(image, mask)
    assert not black[~known].any() and filled[~known].all()


def test_a_sigmoid_stays_in_the_range_of_images_and_a_linear_output_need_not():
    image, mask = images()
    model = redraw_(unet(output="sigmoid", **SMALL))
    nn.init.constant_(model.head.bias, 9.0)
    assert 0.5 < model(image, mask).max() <= 1
    model = redraw_(unet(**SMALL))
    nn.init.constant_(model.head.bias, 99.0)
    assert model(image, mask).max() > 1


def test_attention_starts_as_nothing_and_reads_all_positions_afterwards():
    image, mask = images(n=1, size=(64, 64))
    model = unet(attention=True, norm="none", **SMALL).double()
    image = image.double().requires_grad_()
    reach = []
    for change in (nn.Identity(), redraw_):
        (grad,) = torch.autograd.grad(change(model)(image, mask)[0, 0, 0, 0], image)
        reach.append(grad[0].abs().sum(0)[mask[0, 0]].ne(0).float().mean().item())
    assert reach[0] < 0.5 and reach[1] == 1


def test_attention_over_a_large_image_reads_averages():
    model = redraw_(unet(widths=(2, 4), convs=1, attention=True)).eval()
    image, mask = images(n=1, size=(200, 264))
    read = []
    model.bottleneck[0].key_value.register_forward_hook(lambda layer, args, out: read.append(out.shape[2:].numel()))
    assert model(image, mask).shape == image.shape and read == [50 * 66]


def test_half_the_resolution_costs_about_a_quarter():
    full, half = unet().gflops(), unet(stem=2).gflops()
    assert 0.2 < half / full < 0.3 and 3 < full < 6


def test_the_networks_work_under_mixed_precision():
    image, mask = images()
    for options in OPTIONS.values():
        model = redraw_(unet(**SMALL | options))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(image[:, : model.channels], mask.float()).isfinite().all()


def test_a_small_network_learns_to_fill_the_hole():
    rows = torch.linspace(0, 1, 16)[:, None].expand(16, 16)
    image = torch.stack([rows, rows.T, 1 - rows])[None].repeat(4, 1, 1, 1)
    mask = torch.cat([images(1, hole=(2 + i, 9 + i))[1] for i in range(4)])
    for options in (dict(conv="gated"), dict(conv="partial", dilation=(2,)), dict(norm="none")):
        model = unet(**SMALL | options)
        optimizer, errors = torch.optim.Adam(model.parameters(), 1e-2), []
        for _ in range(40):
            error = (model(image, mask) - image).masked_fill(mask, 0).square().mean()
            optimizer.zero_grad(), error.backward(), optimizer.step()
            errors.append(error.item())
        assert errors[-1] < 0.1 * errors[0], options


def test_networks_can_be_built_without_memory_for_their_weights():
    with torch.device("meta"):
        model = unet(attention=True, residual=True)
    assert all(p.is_meta for p in model.parameters()) and isinstance(model, InpaintingNetwork)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kind="gan"), r"`kind` must be one of \('ae', 'ae_fc', 'unet'\), got 'gan'"),
        (dict(conv="dilated"), "`conv` must be one of"),
        (dict(prefill="white"), "`prefill` must be one of"),
        (dict(widths=()), "`widths` must have 1 to 8 levels, got 0"),
        (dict(widths=(8, 0)), "`widths` must be of integers from 1 to 4096"),
        (dict(widths=(8, 10**9)), "`widths` must be of integers from 1 to 4096"),
        (dict(dilation=(2, 2.5)), "`dilation` must be of integers"),
        (dict(channels=True), "`channels` must be of integers"),
        (dict(attention=1), "`attention` must be True or False, got 1"),
        (dict(conv="partial", mask_channel=True), "partial convolutions read the mask already"),
        (dict(residual=True, output="sigmoid"), "residual=True"),
        (dict(kind="ae_fc"), "needs `size`.*multiples of 8 pixels, got None"),
        (dict(kind="ae_fc", size=(16, 20)), r"multiples of 8 pixels, got \(16, 20\)"),
        (dict(size=(16, 16)), 'only "ae_fc" has a fixed `size`'),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        inpainting_network(**options)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="depth"):
        unet(depth=4)


def test_images_and_masks_that_do_not_fit_are_refused():
    image, mask = images()
    with pytest.raises(ValueError, match=r"of 3 channels \(RGB\), got \(2, 1, 16, 16\): convert the images"):
        unet(**SMALL)(image[:, :1], mask)
    with pytest.raises(ValueError, match="built for images"):
        unet(**SMALL)(image[0], mask)
    with pytest.raises(ValueError, match=r"`mask` must be \(2, 1, 16, 16\), got \(2, 1, 16, 15\)"):
        unet(**SMALL)(image, mask[..., 1:])
    with pytest.raises(TypeError, match="float tensor.*uint8.*divide"):
        unet(**SMALL)((image * 255).byte(), mask)
    with pytest.raises(ValueError, match="linear bottleneck for images of 16 x 16 pixels, got 16 x 24"):
        KINDS["ae_fc"]()(*images(size=(16, 24)))
