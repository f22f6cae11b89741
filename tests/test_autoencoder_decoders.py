"""The decoders that the note did not have: oracles, any size, positions, budgets, frequencies, and that they learn."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import siren_fastai.autoencoder
from siren_fastai.autoencoder.decoders.hypernetwork import HypernetworkDecoder
from siren_fastai.autoencoder.decoders.local import LocalCodesDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.modulated import ModulatedSirenDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.positions import bilinear_weights, nyquist
from siren_fastai.coords import grid_coords, sample_linear

pytestmark = pytest.mark.numerics

OURS = (ModulatedSirenDecoder, HypernetworkDecoder, LocalCodesDecoder)
ALL = (*OURS, ImageManifoldDecoder)
NOTE_BUDGET = 293_891  # parameters of the note's decoder for codes of 102
SIZE = (6, 5)


def small(kind, **settings):
    return kind(7, **dict(num_hidden=12, default_shape=SIZE) | settings).eval()


@pytest.mark.parametrize("kind", ALL)
def test_no_decoder_has_more_parameters_than_the_notes(kind):
    count = sum(p.numel() for p in kind(102).parameters())
    assert count <= NOTE_BUDGET and f"{count:,}".replace(",", " ") in kind.__doc__


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ALL)
def test_any_size_comes_from_one_code_and_leaves_no_trace(kind, channels):
    decoder, code = small(kind, num_output_channels=channels), torch.randn(2, 7)
    with torch.no_grad():
        native = decoder(code)
        assert native.shape == (2, channels, *SIZE) and native.min() >= 0 and native.max() <= 1
        assert decoder(code, (13, 9)).shape == (2, channels, 13, 9) and decoder(code, (1, 1)).shape[2:] == (1, 1)
        assert torch.equal(decoder(code), native)
        torch.testing.assert_close(decoder(code[1]), native[1:])


@pytest.mark.parametrize("kind", ALL)
def test_colours_at_some_positions_are_those_of_the_image(kind):
    decoder, codes = small(kind), torch.randn(3, 7)
    images, positions = decoder(codes).flatten(2).transpose(1, 2), decoder.grid_positions()
    some = torch.randperm(30)[:11]
    torch.testing.assert_close(decoder.at(codes, positions[some]), images[:, some])
    each = torch.stack([torch.randperm(30)[:11] for _ in codes])
    expected = images.gather(1, each[..., None].expand(-1, -1, 3))
    torch.testing.assert_close(decoder.at(codes, positions[each]), expected)


@pytest.mark.parametrize("kind", ALL)
def test_the_whole_image_in_pieces_is_the_same(kind, monkeypatch):
    decoder, codes = small(kind), torch.randn(4, 7)
    expected = decoder(codes)
    for rows in (7, 75):
        monkeypatch.setattr("siren_fastai.autoencoder.decoders.decoder.ROWS", rows)
        with torch.no_grad():
            torch.testing.assert_close(decoder(codes), expected)


@pytest.mark.parametrize("kind", ALL)
def test_mixed_precision_draws_nearly_the_same_image(kind):
    decoder, codes = small(kind, num_hidden=64, default_shape=(32, 32), activation_out=None), torch.randn(3, 7)
    with torch.no_grad():
        exact = decoder(codes)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = decoder(codes)
    assert (mixed - exact).abs().mean() < 0.1 * exact.std()


@pytest.mark.parametrize("kind", ALL)
def test_an_image_depends_on_its_own_code_alone(kind):
    decoder, codes = small(kind), torch.randn(4, 7)
    changed = torch.cat([codes[:2], codes[2:] + 1])
    before, after = decoder(codes), decoder(changed)
    torch.testing.assert_close(after[:2], before[:2])
    assert (after[2:] - before[2:]).abs().amax((1, 2, 3)).min() > 1e-6


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(num_hidden=0), "`num_hidden` must be an integer of 1 or more"),
        (dict(code_size=0), "`code_size` must be an integer"),
        (dict(default_shape=(4, 0)), "at least 1 pixel"),
        (dict(activation_out="sigmoidal"), "must be one of gelu, "),
    ],
)
def test_settings_of_no_decoder_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**dict(code_size=7) | settings)


@pytest.mark.parametrize("kind", ALL)
def test_gradients_reach_the_code_and_every_weight(kind):
    decoder, codes = small(kind).train(), torch.randn(3, 7, requires_grad=True)
    decoder(codes).square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in [codes, *decoder.parameters()])


@pytest.mark.parametrize("kind", ALL)
def test_an_autoencoder_learns_a_few_images(kind):
    y, x = grid_coords((8, 8)).T.view(2, 8, 8)
    waves = [torch.sin(a * x + b * y + c) for a, b, c in 6 * torch.rand(8, 3)]
    images = (0.5 + 0.4 * torch.stack(waves))[:, None].repeat(1, 3, 1, 1)
    decoder = kind(6, num_hidden=24, default_shape=(8, 8))
    model = Autoencoder(EncoderConv2d((3, 8, 8), 6, (8,)), decoder)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        loss = F.l1_loss(model(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean_image = F.l1_loss(images.mean(0).expand_as(images), images)
    assert F.l1_loss(model.eval()(images), images) < 0.6 * mean_image


# --- sine layers modulated by the code


def test_modulated_sines_are_their_formula():
    decoder, code = small(ModulatedSirenDecoder, num_layers=3), torch.randn(7)
    scales, shifts = decoder.modulation(code).view(2, 3, 12)
    x = decoder.grid_positions()
    for layer, scale, shift in zip(decoder.layers, scales, shifts, strict=True):
        x = torch.sin(scale * (x @ layer.weight.T + layer.bias) + shift)
    expected = torch.sigmoid(x @ decoder.output[0].weight.T + decoder.output[0].bias).T.view(3, *SIZE)
    torch.testing.assert_close(decoder(code)[0], expected)


def test_an_empty_code_leaves_the_sines_as_they_are():
    decoder = small(ModulatedSirenDecoder)
    scales, shifts = decoder.modulation(torch.zeros(7)).view(2, -1)
    assert torch.equal(scales, torch.ones_like(scales)) and not shifts.any()


@pytest.mark.parametrize("shape", [(32, 32), (8, 64)])
def test_first_frequencies_spread_up_to_what_pixels_can_show(shape):
    weight = ModulatedSirenDecoder(7, num_hidden=500, default_shape=shape).layers[0].weight
    written = HypernetworkDecoder(7, num_hidden=500, default_shape=shape).weights(torch.zeros(1, 7))[0][0][0]
    for frequencies in (weight.norm(dim=1), written.norm(dim=1)):
        assert 0.9 * nyquist(shape) < frequencies.max() < 1.001 * nyquist(shape)
        octave = math.log2(nyquist(shape) / (math.pi / 2))
        counts = torch.histc((frequencies / (math.pi / 2)).log2() / octave, 4, 0, 1)
        assert counts.min() > 85  # about 125 in each quarter of the octaves


def test_the_highest_frequency_can_be_chosen():
    weight = small(ModulatedSirenDecoder, num_hidden=200, highest_frequency=9.0).layers[0].weight
    assert 8 < weight.norm(dim=1).max() < 9.01
    with pytest.raises(ValueError, match="must be numbers above 0, in rad per unit"):
        small(HypernetworkDecoder, highest_frequency=-1.0)


# --- a hypernetwork


def test_the_image_of_a_code_is_that_of_the_siren_it_writes():
    decoder, code = small(HypernetworkDecoder), torch.randn(7)
    for head in decoder.heads:
        torch.nn.init.normal_(head.weight, std=0.1)
    siren = decoder.siren(code)
    colours = siren(decoder.grid_positions((9, 4)))
    torch.testing.assert_close(torch.sigmoid(colours).T.view(1, 3, 9, 4), decoder(code, (9, 4)))
    assert [layer.omega_0 for layer in siren[:-1]] == [1.0] * 3
    with pytest.raises(ValueError, match="`code` must be a single one, got 2"):
        decoder.siren(torch.zeros(2, 7))


def test_codes_start_around_one_siren_of_the_usual_scale():
    decoder = HypernetworkDecoder(50, num_hidden=64)
    with torch.no_grad():
        around, middle = decoder.weights(0.1 * torch.randn(20, 50)), decoder.weights(torch.zeros(1, 50))
    for layer, ((weights, _), (weight, bias)) in enumerate(zip(around, middle, strict=True)):
        gain = 1 / 30 if layer == 3 else 1
        assert bias.abs().max() <= gain * math.pi
        assert (weights - weight).std() < 0.06  # 0.3 sqrt(2 / 50) of codes with a length of 0.1 sqrt(50)
        if layer:
            assert weight.std().item() == pytest.approx(gain * math.sqrt(2 / 64), rel=0.15)


# --- local codes


@pytest.mark.parametrize("cells", [(5, 5), (3, 4), (1, 2)])
def test_weights_of_cells_are_bilinear(cells):
    values, positions = torch.rand(*cells, 3), torch.rand(50, 2) * 2 - 1
    weights = bilinear_weights(positions, cells)
    torch.testing.assert_close(weights @ values.flatten(0, 1), sample_linear(values, positions))
    sampled = F.grid_sample(
        values.permute(2, 0, 1)[None], positions.flip(-1)[None, None], padding_mode="border", align_corners=False
    )
    torch.testing.assert_close(weights @ values.flatten(0, 1), sampled[0, :, 0].T)
    torch.testing.assert_close(weights.sum(-1), torch.ones(50))


def test_a_cell_counts_only_near_it():
    decoder, codes = small(LocalCodesDecoder, default_shape=(40, 40)), torch.randn(2, 7)
    before = decoder(codes)
    with torch.no_grad():  # the features of the cell at row 1, column 3
        decoder.features.bias.view(5, 5, -1)[1, 3] += 1
    rows, columns = (decoder(codes) - before).abs().amax((0, 1)).nonzero().T
    assert 4 <= rows.min() and rows.max() < 20 and 20 <= columns.min() and columns.max() < 36


def test_nothing_jumps_at_the_borders_of_cells():
    decoder = small(LocalCodesDecoder).double()
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)  # borders at -0.6, -0.2, ...
    colours = decoder.at(torch.randn(7).double(), torch.stack([torch.full_like(x, 0.2), x], -1))[0]
    steps = (colours[1:] - colours[:-1]).abs().amax(1)
    assert steps.max() < 0.01 and steps.max() < 20 * steps.mean()


def test_waves_within_a_cell_reach_what_its_pixels_can_show():
    def cycles(shape, cells):
        return [f / (2 * math.pi) for f in LocalCodesDecoder(7, cells=cells, default_shape=shape).frequencies]

    assert cycles((32, 32), (5, 5)) == [1, 2, 3]
    assert cycles((256, 64), (8, 8)) == [1, 2, 4, 8, 16]
    assert cycles((4, 4), (5, 5)) == [1]


@pytest.mark.slow
def test_models_need_no_fastai():
    root = Path(siren_fastai.autoencoder.__file__).parent
    files = [path.relative_to(root).with_suffix("").parts for path in root.rglob("*.py") if path.stem != "__init__"]
    modules = [".".join(["siren_fastai.autoencoder", *parts]) for parts in files if parts != ("learner",)]
    code = f"import sys, {', '.join(modules)}; assert 'fastai' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
