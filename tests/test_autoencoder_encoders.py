"""DALL-E's encoder, ResNet-18 and the transformer: parameter counts, references written out, images kept apart."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from siren_fastai.autoencoder.decoders.patches import PatchDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.encoders.dalle import DalleEncoder
from siren_fastai.autoencoder.encoders.patches import PatchEncoder, patch_grid
from siren_fastai.autoencoder.encoders.resnet import ResNetEncoder, resnet18_trunk
from siren_fastai.autoencoder.transformer import transformer_autoencoder

pytestmark = pytest.mark.numerics

SHAPE = (1, 16, 16)
PATCHES = dict(patch_size=4, stride=4, num_layers=2, num_hidden=16, num_heads=4)
ENCODERS = {
    "conv": lambda: EncoderConv2d(SHAPE, 5, (4, 4)),
    "dalle": lambda: DalleEncoder(SHAPE, 5, n_hid=8, vocab_size=8),
    "resnet": lambda: ResNetEncoder(SHAPE, 5),
    "patches": lambda: PatchEncoder(SHAPE, 5, **PATCHES),
    "patches, pre-norm": lambda: PatchEncoder(SHAPE, 5, **PATCHES, norm_first=True),
    "overlapping patches": lambda: PatchEncoder(SHAPE, 5, **PATCHES | dict(stride=2)),
}


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_a_code_depends_on_its_own_image_alone(make):
    encoder, images = make().eval(), torch.rand(6, *SHAPE)
    codes = encoder(images)
    assert codes.shape == (6, 5)
    changed = images.clone()
    changed[5] = torch.rand(SHAPE)
    after = encoder(changed)
    torch.testing.assert_close(after[:5], codes[:5])
    assert (after[5] - codes[5]).abs().max() > 1e-6
    torch.testing.assert_close(encoder(images[2:3]), codes[2:3])


@pytest.mark.parametrize("norm_first", [False, True])
def test_images_of_a_transformer_do_not_see_each_other_in_training_either(norm_first):
    model = transformer_autoencoder(SHAPE, 5, **PATCHES, dropout=0.0, norm_first=norm_first).train()
    images = torch.rand(4, *SHAPE)
    others = torch.cat([images[:1], torch.rand(3, *SHAPE)])
    torch.testing.assert_close(model(images)[0], model(others)[0])


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_gradients_reach_every_weight(make):
    encoder = make()
    encoder(torch.rand(3, *SHAPE)).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())
    assert sum(not p.grad.any() for p in encoder.parameters()) == 0


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_images_that_do_not_fit_are_refused(make):
    with pytest.raises(ValueError, match=r"1 channel \(gray\), got images with 3 channels \(RGB\)"):
        make()(torch.rand(2, 3, 16, 16))
    with pytest.raises(ValueError, match="built for images of 16 x 16 pixels, got 32 x 32"):
        make()(torch.rand(2, 1, 32, 32))


# --- DALL-E


def test_parameters_of_the_notes_dalle_encoder():
    assert n_parameters(DalleEncoder()) == 1_725_264


def dalle_reference(state, images):
    """The encoder with one block per group, from its weights alone."""

    def conv(name, x):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    x = conv("convolutions.0", images)
    for group in range(4):
        block, pool = f"convolutions.{1 + 2 * group}", f"convolutions.{2 + 2 * group}.0"
        out = x
        for i in (1, 3, 5, 7):
            out = conv(f"{block}.residual.{i}", F.gelu(out))
        x = (conv(f"{block}.identity", x) if group else x) + out / 16
        if group < 3:  # 2x2 pixels become channels
            n, c, h, w = x.shape
            x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
            x = conv(pool, x)
    x = conv("convolutions.9", F.gelu(x))
    return x.flatten(1) @ state["linear.weight"].T + state["linear.bias"]


def test_the_dalle_encoder_is_its_description():
    encoder, images = DalleEncoder((3, 16, 24), 5, n_hid=8, vocab_size=6), torch.rand(2, 3, 16, 24)
    for name, parameter in encoder.named_parameters():
        if name.startswith("convolutions") and name.endswith("bias"):
            assert not parameter.any()
            nn.init.normal_(parameter)
    torch.testing.assert_close(encoder(images), dalle_reference(encoder.state_dict(), images))


def test_dalle_convolutions_are_drawn_by_their_inputs():
    conv = DalleEncoder().convolutions[7].residual[1]  # 3x3 from 256 channels
    assert conv.weight.std().item() == pytest.approx((256 * 9) ** -0.5, rel=0.01)


def test_dalle_has_more_blocks_and_pools_by_maxima():
    encoder = DalleEncoder(SHAPE, 5, n_hid=8, n_blk_per_group=2, space_to_depth=False)
    assert sum(isinstance(m, nn.MaxPool2d) for m in encoder.modules()) == 3
    gains = [m.gain for m in encoder.convolutions if hasattr(m, "gain")]
    assert gains == [1 / 64] * 8 and encoder(torch.rand(2, *SHAPE)).shape == (2, 5)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(shape=(1, 28, 28)), "multiples of 8 pixels, got 28 x 28"),
        (dict(n_hid=6), "`n_hid` must be a multiple of 4, got 6"),
        (dict(n_blk_per_group=0), "`n_blk_per_group` must be an integer of 1 or more"),
        (dict(act_fn="gelo"), "must be one of gelu"),
    ],
)
def test_settings_of_no_dalle_encoder_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DalleEncoder(**settings)


# --- ResNet-18


def test_resnet_18_has_its_parameters_and_torchvisions_names():
    trunk = resnet18_trunk()
    assert n_parameters(trunk) == 11_176_512
    assert n_parameters(resnet18_trunk(1)) == 11_176_512 - 2 * 64 * 49
    names = list(trunk.state_dict())
    assert names[:2] == ["conv1.weight", "bn1.weight"] and len(names) == 120
    assert {"layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.bn2.running_var"} < set(names)


def resnet_reference(state, x):
    """ResNet-18 in eval mode, from its weights alone."""

    def conv(name, norm, x, stride, padding):
        x = F.conv2d(x, state[f"{name}.weight"], None, stride, padding)
        mean, var, weight, bias = (
            state[f"{norm}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = F.max_pool2d(conv("conv1", "bn1", x, 2, 3).relu(), 3, 2, 1)
    for stage, block in product((1, 2, 3, 4), (0, 1)):
        name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        out = conv(f"{name}.conv1", f"{name}.bn1", x, stride, 1).relu()
        out = conv(f"{name}.conv2", f"{name}.bn2", out, 1, 1)
        kept = conv(f"{name}.downsample.0", f"{name}.downsample.1", x, stride, 0) if stride == 2 else x
        x = (out + kept).relu()
    return x


@pytest.mark.parametrize("shape, ends", [((3, 32, 32), (1, 1)), ((1, 28, 28), (1, 1)), ((2, 40, 70), (2, 3))])
def test_resnet_18_is_its_description(shape, ends):
    encoder, images = ResNetEncoder(shape, 6), torch.rand(3, *shape)
    encoder(images)  # moves the running averages
    encoder.eval()
    features = resnet_reference(encoder.trunk.state_dict(), images)
    assert features.shape == (3, 512, *ends)
    torch.testing.assert_close(encoder(images), encoder.linear(features.flatten(1)), rtol=1e-4, atol=1e-4)


# --- the transformer over patches


@pytest.mark.parametrize("shape, patch, stride", [((1, 28, 28), 4, 2), ((3, 16, 12), 4, 4), ((1, 10, 22), 4, 3)])
def test_a_transformer_rebuilds_every_shape_that_patches_cover(shape, patch, stride):
    settings = PATCHES | dict(patch_size=patch, stride=stride)
    model = transformer_autoencoder(shape, 9, **settings, activation_out="sigmoid").eval()
    images = torch.rand(2, *shape)
    assert model.encode(images).shape == (2, 9) and model(images).shape == images.shape
    assert model.decode(torch.zeros(9)).shape == (1, *shape) == model.decode(torch.zeros(9), shape[1:]).shape


def test_thirty_of_the_notes_transformers_cannot_rebuild_the_image():
    refused, built = 0, 0
    for patch, stride, *_ in product((4, 8), (2, 4, 8), (2, 4, 8, 12, 16), (4, 8), (64, 128, 256)):
        if stride <= patch:
            try:
                patch_grid((1, 28, 28), patch, stride)
                built += 1
            except ValueError as error:
                assert (patch, stride) == (8, 8) and "rebuild 24 of 28 pixels" in str(error)
                refused += 1
    assert (built, refused) == (120, 30)


def test_where_a_patch_is_matters():
    encoder = PatchEncoder(SHAPE, 5, **PATCHES).eval()
    images = torch.zeros(2, *SHAPE)
    images[0, :, :4, :4], images[1, :, 8:12, 4:8] = 1, 1
    tokens = encoder.patches(images).flatten(2).transpose(1, 2)
    assert (encoder.layers(tokens + encoder.positions).mean(1).diff(dim=0).abs().max()) > 1e-4
    torch.testing.assert_close(*encoder.layers(tokens).mean(1))  # without positions: a bag of patches


@pytest.mark.parametrize("kind", [PatchEncoder, PatchDecoder])
def test_layers_of_a_stack_start_different_and_normalise_as_asked(kind):
    after, before = (kind(SHAPE, 5, **PATCHES, norm_first=first).layers for first in (False, True))
    assert after.norm is None and isinstance(before.norm, nn.LayerNorm)
    assert all(layer.norm_first for layer in before.layers)
    assert not torch.equal(*(layer.linear1.weight for layer in after.layers))
    assert after.layers[0].linear1.out_features == 16  # mlp_dim is num_hidden


@pytest.mark.parametrize("kind", [PatchEncoder, PatchDecoder])
@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(stride=8), "with stride 8 leave gaps"),
        (dict(patch_size=5, stride=5), "rebuild 15 of 16 pixels"),
        (dict(num_heads=3), "`num_hidden` must be a multiple of `num_heads`, got 16 and 3"),
        (dict(num_layers=0), "`num_layers` must be an integer of 1 or more"),
    ],
)
def test_settings_of_no_transformer_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(SHAPE, 5, **PATCHES | settings)


def test_patches_draw_one_size_only():
    decoder = PatchDecoder(SHAPE, 5, **PATCHES)
    with pytest.raises(
        ValueError, match="draws images of 16 x 16 pixels only, not 32 x 32: use a decoder of positions"
    ):
        decoder(torch.zeros(2, 5), (32, 32))
    with pytest.raises(ValueError, match=r"`code` must be \(n, 5\)"):
        decoder(torch.zeros(2, 6))
