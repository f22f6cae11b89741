"""The note's decoder and encoders: parameter counts, a slow reference, any size, settings that make no sense."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.positions import nyquist, nyquist_frequencies, position_features
from siren_fastai.coords import grid_coords

pytestmark = pytest.mark.numerics

SIZE = (6, 5)


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


def small(**settings):
    settings = dict(num_hidden=12, num_blocks=2, num_layers_per_block=2, default_shape=SIZE) | settings
    return ImageManifoldDecoder(7, **settings)


def with_statistics(decoder):
    """Batch normalisation whose running averages and weights are no longer the initial ones, in eval mode."""
    for module in decoder.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.running_mean, module.weight, module.bias):
                nn.init.normal_(tensor)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return decoder.eval()


# --- positions


@pytest.mark.parametrize("cos", [False, True])
def test_position_features_are_the_notes_in_its_order(cos):
    y, x = 0.3, -0.8
    expected = [x, y, *(math.sin(f * v) for f in (7, 17) for v in (x, y))]
    expected += [math.cos(f * v) for f in (7, 17) for v in (x, y)] if cos else []
    features = position_features(torch.tensor([[y, x]]), (7, 17), cos)
    torch.testing.assert_close(features, torch.tensor([expected]))


def test_frequencies_reach_what_the_pixels_can_show():
    assert nyquist((32, 20)) == pytest.approx(50.27, abs=0.01)
    frequencies = nyquist_frequencies((32, 32), 4)
    assert frequencies == pytest.approx((math.pi, 7.92, 19.95, 50.27), abs=0.01)
    row = torch.sin(nyquist((1, 32)) * grid_coords((1, 32))[:, 1])  # one sign per pixel, as fast as pixels can
    assert (row[1:] * row[:-1] < -0.99).all()
    assert small(pos_embedding_freqs=None).frequencies == nyquist_frequencies(SIZE)


# --- the note's decoder


@pytest.mark.parametrize(
    "num_blocks, num_layers, num_hidden, concat, count",
    [
        (4, 2, 64, False, 42_497),
        (8, 2, 128, False, 283_649),
        (8, 4, 128, False, 547_841),
        (16, 1, 128, False, 285_697),
        (16, 2, 128, False, 549_889),
        (8, 2, 300, False, 1_490_401),
        (8, 2, 256, False, 1_091_585),
        (8, 2, 64, [True, False] * 4, 3_502_785),
    ],
)
def test_parameters_of_the_first_sections_decoders(num_blocks, num_layers, num_hidden, concat, count):
    decoder = ImageManifoldDecoder(128, 1, num_hidden, num_blocks, num_layers, concat, cos=False)
    assert n_parameters(decoder) == count
    widths = [block.norm.num_features for block in decoder.blocks]
    assert widths == ([64, 128, 128, 256, 256, 512, 512, 1024] if concat else [num_hidden] * num_blocks)


def test_parameters_of_the_last_sections_decoder():
    assert n_parameters(ImageManifoldDecoder(102)) == 293_891


def reference(decoder, code, shape, cos, concat):
    """The decoder as note 002 describes it: one image at a time, position features beside the repeated code."""
    state = decoder.state_dict()
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    waves = [f(frequency * v) for f in (torch.sin, torch.cos)[: 1 + cos] for frequency in (7, 17) for v in (x, y)]
    features = torch.stack([x, y, *waves], -1).reshape(-1, 2 + len(waves))
    hidden = F.gelu(
        torch.cat([code.expand(len(features), -1), features], 1) @ state["input.weight"].T + state["input.bias"]
    )
    for i in range(len(concat)):
        norm = [state[f"blocks.{i}.norm.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        out = (hidden - norm[0]) / (norm[1] + 1e-5).sqrt() * norm[2] + norm[3]
        for layer in (0, 2):
            out = F.gelu(out @ state[f"blocks.{i}.layers.{layer}.weight"].T + state[f"blocks.{i}.layers.{layer}.bias"])
        hidden = torch.cat([hidden, out], 1) if concat[i] else hidden + out
    colors = torch.sigmoid(hidden @ state["output.0.weight"].T + state["output.0.bias"])
    return colors.T.reshape(-1, *shape)


@pytest.mark.parametrize("cos", [False, True])
@pytest.mark.parametrize("concat", [[False, False], [True, False]])
@pytest.mark.parametrize("shape", [SIZE, (9, 4)])
def test_the_whole_batch_equals_the_note_image_by_image(cos, concat, shape):
    decoder = with_statistics(small(cos=cos, concat_residual=concat))
    codes = torch.randn(3, 7)
    images = decoder(codes, shape)
    assert images.shape == (3, 3, *shape) and images.is_contiguous()
    expected = torch.stack([reference(decoder, code, shape, cos, concat) for code in codes])
    torch.testing.assert_close(images, expected)
    with torch.no_grad():  # in pieces
        torch.testing.assert_close(decoder(codes, shape), expected)


def test_large_images_are_drawn_in_pieces_with_the_same_colours(monkeypatch):
    decoder, codes = with_statistics(small()), torch.randn(4, 7)
    expected = decoder(codes)
    for rows in (1, 7, 30, 75):  # fewer than an image's 30 positions, all of them, two images and a half
        monkeypatch.setattr("siren_fastai.autoencoder.decoders.decoder.ROWS", rows)
        with torch.no_grad():
            torch.testing.assert_close(decoder(codes), expected)


def test_training_in_pieces_gives_the_same_images_and_gradients(monkeypatch):
    decoder, codes, gradients = small(concat_residual=[True, False]), torch.randn(5, 7), []
    for rows in (1 << 14, 60, 1):  # everything at once, two images, less than one
        monkeypatch.setattr("siren_fastai.autoencoder.decoders.blocks.CPU_ROWS", rows)
        decoder.zero_grad()
        images = decoder(codes)
        images.square().sum().backward()
        gradients.append([images.detach(), *(p.grad.clone() for p in decoder.parameters())])
    for pieces in gradients[1:]:
        torch.testing.assert_close(pieces, gradients[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_comes_from_one_code_and_leaves_no_trace(channels):
    decoder = with_statistics(small(num_output_channels=channels))
    code = torch.randn(2, 7)
    with torch.no_grad():
        native, double = decoder(code), decoder(code, (12, 10))
        assert double.shape == (2, channels, 12, 10) and native.shape == (2, channels, *SIZE)
        assert torch.equal(decoder(code), native)
        torch.testing.assert_close(decoder(code[0]), native[:1])
        corners = [native[..., [0, -1]][..., [0, -1], :], double[..., [0, -1]][..., [0, -1], :]]
    torch.testing.assert_close(*corners)  # linspace(-1, 1, n) has the corners at every size


def test_colours_at_some_positions_are_those_of_the_image():
    decoder, codes = with_statistics(small()), torch.randn(3, 7)
    images = decoder(codes).flatten(2).transpose(1, 2)
    some = torch.randperm(30)[:11]
    torch.testing.assert_close(decoder.at(codes, decoder.grid_positions()[some]), images[:, some])
    each = torch.stack([torch.randperm(30)[:11] for _ in codes])
    expected = torch.stack([image[indices] for image, indices in zip(images, each, strict=True)])
    torch.testing.assert_close(decoder.at(codes, decoder.grid_positions()[each]), expected)


def test_per_image_normalisation_trains_on_each_image_apart():
    apart, codes = small(batch_norm="per_image"), torch.randn(3, 7)
    whole = small(batch_norm=True)
    whole.load_state_dict(apart.state_dict())
    others = torch.cat([codes[:1], torch.randn(2, 7)])
    torch.testing.assert_close(apart(codes)[0], apart(others)[0])
    assert (whole(codes)[0] - whole(others)[0]).abs().max() > 1e-3
    alone = small(batch_norm=True)
    alone.load_state_dict(apart.state_dict())
    torch.testing.assert_close(apart(codes), torch.cat([alone(code) for code in codes]))
    for name, average in alone.named_buffers():  # fed image after image, too
        torch.testing.assert_close(apart.state_dict()[name], average)
    apart.eval(), whole.load_state_dict(apart.state_dict()), whole.eval()
    torch.testing.assert_close(apart(codes), whole(codes))


def test_without_normalisation_training_and_evaluation_agree():
    decoder, codes = small(batch_norm=False), torch.randn(3, 7)
    assert not any(isinstance(m, nn.BatchNorm1d) for m in decoder.modules())
    torch.testing.assert_close(decoder(codes), decoder.eval()(codes))


def test_gradients_reach_the_code_and_every_weight():
    decoder, codes = small(concat_residual=True), torch.randn(3, 7, requires_grad=True)
    decoder(codes).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in [codes, *decoder.parameters()])
    assert codes.grad.abs().sum(1).min() > 0


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(concat_residual=[True]), "one for each of 2 blocks"),
        (dict(concat_residual=[1, 0]), "`concat_residual` must be a bool"),
        (dict(batch_norm="per_picture"), "`batch_norm` must be True, False or 'per_image'"),
        (dict(num_blocks=0), "`num_blocks` must be an integer of 1 or more"),
        (dict(num_hidden=-3), "`num_hidden` must be an integer"),
        (dict(num_hidden=2.5), "`num_hidden` must be an integer"),
        (dict(pos_embedding_freqs=(7, 0)), "must be numbers above 0, in rad"),
        (dict(activation="gelo"), "must be one of gelu, "),
        (dict(default_shape=(0, 5)), "at least 1 pixel"),
        (dict(default_shape=32), r"must be \(height, width\)"),
        (dict(num_output_channels=0), "`num_output_channels` must be"),
    ],
)
def test_settings_of_no_decoder_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


@pytest.mark.parametrize(
    "code, shape, error, message",
    [
        (torch.zeros(2, 8), None, ValueError, r"`code` must be \(n, 7\) or \(7,\), got shape \(2, 8\)"),
        (torch.zeros(0, 7), None, ValueError, r"got shape \(0, 7\)"),
        (torch.zeros(2, 7, 1), None, ValueError, r"got shape \(2, 7, 1\)"),
        (torch.zeros(2, 7, dtype=torch.int64), None, TypeError, "`code` must be a float tensor, got torch.int64"),
        (torch.zeros(2, 7), (0, 4), ValueError, r"at least 1 pixel each, got \(0, 4\)"),
        (torch.zeros(2, 7), (4, 4, 3), ValueError, r"must be \(height, width\)"),
        (torch.zeros(2, 7), (10**6, 10**6), ValueError, "1000000 x 1000000 pixels is too large"),
    ],
)
def test_codes_and_sizes_that_do_not_fit_are_refused(code, shape, error, message):
    with pytest.raises(error, match=message):
        small()(code, shape)


@pytest.mark.parametrize("positions", [torch.zeros(4, 3), torch.zeros(2), torch.zeros(5, 4, 2), [[0.0, 0.0]]])
def test_positions_that_do_not_fit_are_refused(positions):
    with pytest.raises(ValueError, match="`positions` (must be|are for 5 codes, but there are 3)"):
        small().at(torch.zeros(3, 7), positions)


# --- the small convolutional encoder, and both together


@pytest.mark.parametrize(
    "channels, read, count", [((16, 24, 32), 21_632, 2_217_438), ((24, 32, 48), 32_448, 3_331_286)]
)
def test_parameters_of_the_convolutional_encoders(channels, read, count):
    encoder = EncoderConv2d((3, 32, 32), 32 * 32 // 10, channels)
    assert encoder.linear.in_features == read and n_parameters(encoder) == count
    assert encoder(torch.rand(2, 3, 32, 32)).shape == (2, 102)


def test_the_convolutional_encoder_is_its_three_layers():
    encoder, images = EncoderConv2d((1, 9, 8), 5, (2, 3), kernel_size=3, stride=2), torch.rand(4, 1, 9, 8)
    first, second = (m for m in encoder.convolution if isinstance(m, nn.Conv2d))
    hidden = F.conv2d(images, first.weight, first.bias, stride=2).clamp(min=0)
    hidden = F.conv2d(hidden, second.weight, second.bias, stride=2).clamp(min=0)
    expected = hidden.reshape(4, -1) @ encoder.linear.weight.T + encoder.linear.bias
    torch.testing.assert_close(encoder(images), expected)


@pytest.mark.parametrize(
    "images, error, message",
    [
        (torch.rand(2, 1, 8, 8), ValueError, r"3 channels \(RGB\), got images with 1 channel \(gray\)"),
        (torch.rand(2, 3, 8, 9), ValueError, "built for images of 8 x 8 pixels, got 8 x 9"),
        (torch.rand(3, 8, 8), ValueError, r"must be \(n, channels, height, width\), got shape \(3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "divide uint8 images by 255"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        EncoderConv2d((3, 8, 8), 4)(images)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(shape=(3, 6, 32)), "6 x 32 pixels are too small for 3 convolutions of 3 pixels"),
        (dict(shape=(32, 32)), r"`shape` must be \(channels, height, width\)"),
        (dict(code_size=0), "`code_size` must be an integer of 1 or more"),
        (dict(stride=0), "`stride` must be"),
    ],
)
def test_settings_of_no_encoder_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EncoderConv2d(**settings)


def test_an_autoencoder_encodes_decodes_and_draws_other_sizes():
    model = Autoencoder(EncoderConv2d((3, 8, 8), 7), small(default_shape=(8, 8))).eval()
    images = torch.rand(2, 3, 8, 8)
    codes = model.encode(images)
    assert codes.shape == (2, 7) == (2, model.code_size)
    torch.testing.assert_close(model(images), model.decode(codes))
    assert model.decode(codes[0], shape=(16, 16)).shape == (1, 3, 16, 16)


def test_parts_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="codes of 6 values, but the decoder reads 7"):
        Autoencoder(EncoderConv2d((3, 8, 8), 6), small())
    with pytest.raises(ValueError, match="images of 1 channels, but the decoder draws 3"):
        Autoencoder(EncoderConv2d((1, 8, 8), 7), small())
