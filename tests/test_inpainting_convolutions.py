"""Gated, partial and dilated convolutions against loops over windows, and the receptive field against gradients."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from siren_fastai.inpainting.convolutions import GatedConv2d, PartialConv2d, receptive_field, same_padding

pytestmark = pytest.mark.numerics


def windows(x, kernel_size, stride, dilation):
    """Each window of an array (c, h, w), padded with zeros: ((row, column), (c, k, k)), one after the other."""
    pad = dilation * (kernel_size - 1) // 2
    padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
    reach = dilation * (kernel_size - 1) + 1
    for i, top in enumerate(range(0, padded.shape[1] - reach + 1, stride)):
        for j, left in enumerate(range(0, padded.shape[2] - reach + 1, stride)):
            yield (i, j), padded[:, top : top + reach : dilation, left : left + reach : dilation]


def slow_partial(x, mask, layer):
    """Liu et al. 2018, equations 1 and 2, one window at a time; `mask` has as many channels as it tells."""
    weight, bias = layer.conv.weight.detach().numpy().astype(np.float64), layer.bias.detach().numpy()
    shape = layer(torch.from_numpy(x)[None], torch.from_numpy(mask)[None])[0].shape[1:]
    out, known = np.zeros(shape), np.zeros(shape[1:], bool)
    settings = layer.conv.kernel_size[0], layer.conv.stride[0], layer.conv.dilation[0]
    masks = {at: window for at, window in windows(mask.astype(np.float64), *settings)}
    for at, window in windows(x.astype(np.float64) * mask, *settings):
        if masks[at].sum() > 0:
            known[at] = True
            out[(slice(None), *at)] = (weight * window).sum((1, 2, 3)) * masks[at].size / masks[at].sum() + bias
    return out, known


def drawn(shape, known_share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(np.float32), rng.random(shape) < known_share


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (1, 1, 1)])
def test_a_partial_convolution_equals_the_papers_formula_window_by_window(channels, kernel_size, stride, dilation):
    x, mask = drawn((4, 9, 11))
    mask[:, :6, :6] = False
    layer = PartialConv2d(4, 3, kernel_size, stride, dilation)
    nn.init.normal_(layer.bias)
    out, known = layer(torch.from_numpy(x)[None], torch.from_numpy(mask[:channels])[None])
    wanted, wanted_known = slow_partial(x, mask[:channels], layer)
    assert np.array_equal(known[0, 0].numpy(), wanted_known) and 0 < wanted_known.mean() < 1
    np.testing.assert_allclose(out[0].detach().numpy(), wanted, atol=1e-5)


def test_a_partial_convolution_with_all_known_is_the_convolution_away_from_the_border():
    x, layer = torch.rand(2, 3, 8, 8), PartialConv2d(3, 5)
    out, known = layer(x, torch.ones(2, 1, 8, 8))
    plain = F.conv2d(x, layer.conv.weight, layer.bias, padding=1)
    torch.testing.assert_close(out[..., 1:-1, 1:-1], plain[..., 1:-1, 1:-1])
    torch.testing.assert_close(out[..., 0, 0], plain[..., 0, 0] * 9 / 4)  # a corner has 4 pixels in its window
    assert known.all()


def test_a_partial_convolution_never_reads_the_hole_and_is_zero_where_nothing_is_known():
    layer, mask = PartialConv2d(3, 5), torch.ones(1, 1, 12, 12)
    nn.init.normal_(layer.bias)
    mask[..., 2:9, 2:9] = 0
    x = torch.rand(1, 3, 12, 12)
    other = torch.where(mask.bool(), x, torch.nan)
    (out, known), (same, _) = layer(x, mask), layer(other, mask)
    assert torch.equal(out, same)
    assert not out[..., 3:8, 3:8].any() and not known[..., 3:8, 3:8].any() and known.sum() == 144 - 25


def test_the_mask_of_partial_convolutions_grows_until_all_is_known():
    x, mask, layer = torch.rand(1, 2, 9, 9), torch.zeros(1, 1, 9, 9, dtype=torch.bool), PartialConv2d(2, 2)
    mask[..., 4, 4] = True
    for reach in range(1, 5):
        before, (x, mask) = mask, layer(x, mask)
        assert (mask | ~before).all() and mask.sum() == (2 * reach + 1) ** 2
    assert mask.all()


def test_partial_convolutions_count_exactly_under_mixed_precision():
    layer, x = PartialConv2d(300, 1, bias=False), torch.ones(1, 300, 5, 5)
    nn.init.constant_(layer.conv.weight, 2.0**-12)
    mask = torch.ones(1, 300, 5, 5)
    mask[0, 0, 2, 2] = 0  # 2699 of 2700 values: bfloat16 would count 2704
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = layer(x, mask)
    assert layer._count(mask.bool())[0, 0, 2, 2] == 2699
    torch.testing.assert_close(out[0, 0, 2, 2].float(), torch.tensor(2700 * 2.0**-12), rtol=0.02, atol=0)


def test_a_mask_of_another_shape_is_refused_by_partial_convolutions():
    with pytest.raises(ValueError, match=r"`mask` must be \(1, 1, 4, 4\) or \(1, 3, 4, 4\), got \(1, 2, 4, 4\)"):
        PartialConv2d(3, 3)(torch.rand(1, 3, 4, 4), torch.ones(1, 2, 4, 4))


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3)])
def test_a_gated_convolution_is_the_activation_times_the_gate(stride, dilation):
    x, layer = torch.randn(2, 3, 9, 7), GatedConv2d(3, 5, 3, stride, dilation)
    weights, biases = layer.conv.weight.chunk(2), layer.conv.bias.chunk(2)
    features, gates = (F.conv2d(x, w, b, stride, dilation, dilation) for w, b in zip(weights, biases, strict=True))
    torch.testing.assert_close(layer(x), F.leaky_relu(features, 0.2) / (1 + torch.exp(-gates)))


def test_an_open_gate_leaves_the_plain_convolution_and_a_closed_one_nothing():
    x, layer = torch.randn(1, 3, 8, 8), GatedConv2d(3, 4, norm=nn.BatchNorm2d(4))
    plain = F.conv2d(x, layer.conv.weight[:4], layer.conv.bias[:4], padding=1)
    with torch.no_grad():
        layer.conv.bias[4:] = 1e4
        torch.testing.assert_close(layer(x), F.leaky_relu(nn.BatchNorm2d(4)(plain), 0.2))
        layer.conv.bias[4:] = -1e4
        assert not layer(x).any()


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("make", [GatedConv2d, PartialConv2d, nn.Conv2d])
def test_dilation_keeps_the_size_with_its_padding_and_shrinks_it_without(make, dilation):
    x = torch.rand(1, 2, 32, 32)
    inputs = (x, torch.ones(1, 1, 32, 32)) if make is PartialConv2d else (x,)
    padding = dict(padding=same_padding(3, dilation)) if make is nn.Conv2d else {}
    out = make(2, 2, 3, dilation=dilation, **padding)(*inputs)
    assert (out[0] if make is PartialConv2d else out).shape[-2:] == (32, 32)
    assert nn.Conv2d(2, 2, 3, dilation=dilation)(x).shape[-1] == {1: 30, 2: 28, 4: 24, 8: 16}[dilation]


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="`kernel_size` must be odd to keep the size, got 4"):
        PartialConv2d(1, 1, kernel_size=4)


def test_the_receptive_field_of_a_chain_is_what_one_output_pixel_depends_on():
    layers = [(3, 1, 1), (5, 2, 1), (3, 1, 4), (3, 2, 1), (3, 1, 2)]
    assert receptive_field(layers) == 1 + 2 + 4 + 2 * 8 + 2 * 2 + 4 * 4
    x = torch.zeros(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel_size, stride, dilation in layers:
        weight = torch.ones(1, 1, kernel_size, kernel_size, dtype=torch.float64)
        y = F.conv2d(y, weight, None, stride, same_padding(kernel_size, dilation), dilation)
    y[0, 0, 12, 12].backward()
    rows = x.grad[0, 0].any(1).nonzero()
    assert rows.max() - rows.min() + 1 == receptive_field(layers)


def test_upsampling_halves_the_step():
    assert receptive_field([(2, 2, 1), (1, 0.5, 1), (3, 1, 1)]) == 4  # two coarse pixels of two pixels each
    assert receptive_field([(2, 2, 1), (2, 0.5, 1)]) == 4
    assert receptive_field([]) == 1
