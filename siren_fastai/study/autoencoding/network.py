"""The autoencoder that settings ask for."""

from collections.abc import Mapping

from torch import Tensor, nn

from siren_fastai.autoencoder.decoders.hypernetwork import HypernetworkDecoder
from siren_fastai.autoencoder.decoders.local import LocalCodesDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.modulated import ModulatedSirenDecoder
from siren_fastai.autoencoder.decoders.patches import PatchDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.encoders.dalle import DalleEncoder
from siren_fastai.autoencoder.encoders.patches import PatchEncoder
from siren_fastai.autoencoder.encoders.resnet import ResNetEncoder
from siren_fastai.autoencoder.fields_start import fields_autoencoder
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.study.autoencoding.pca import pca_autoencoder
from siren_fastai.study.autoencoding.settings import channels_of, size_of

__all__ = ["autoencoder_of", "count_parameters"]


def autoencoder_of(
    settings: Mapping,  # complete
    images: Tensor | None = None,  # (n, c, h, w) in [0, 1] to start from, which "fields" and "pca" need
) -> Autoencoder:
    """Return the new network, drawn from torch's random state or started from images."""
    if settings["encoder"] == "fields":
        return fields_autoencoder(images, settings["code_size"], seed=settings["seed"])
    if settings["encoder"] == "pca":
        return pca_autoencoder(images, settings["code_size"])
    return Autoencoder(_encoder(settings), _decoder(settings))


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training can change."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _encoder(settings: Mapping) -> nn.Module:
    kind, place = settings["encoder"], (_shape(settings), settings["code_size"])
    if kind == "cnn":
        return EncoderConv2d(*place, settings["channels"])
    if kind == "dalle":
        return DalleEncoder(*place, settings["encoder_width"])
    return ResNetEncoder(*place) if kind == "resnet" else PatchEncoder(*place, **_transformer(settings))


def _decoder(settings: Mapping) -> nn.Module:
    kind, (channels, *size) = settings["decoder"], _shape(settings)
    if kind == "patches":
        return PatchDecoder(_shape(settings), settings["code_size"], **_transformer(settings))
    place, shape = (settings["code_size"], channels), dict(num_hidden=settings["hidden"], default_shape=size)
    if kind in ("modulated", "hypernetwork"):
        sines = ModulatedSirenDecoder if kind == "modulated" else HypernetworkDecoder
        return sines(*place, num_layers=settings["layers"], **shape)
    deep = dict(num_blocks=settings["blocks"], num_layers_per_block=settings["layers"])
    shape |= deep | dict(batch_norm=settings["batch_norm"])
    if kind == "local":
        return LocalCodesDecoder(*place, cells=(settings["cells"],) * 2, **shape)
    waves = dict(pos_embedding_freqs=settings["frequencies"], cos=settings["cos"])
    return ImageManifoldDecoder(*place, concat_residual=_concats(settings), **waves, **shape)


def _concats(settings: Mapping) -> bool | list[bool]:
    """Which blocks concatenate."""
    alternate = [block % 2 == 0 for block in range(settings["blocks"])]
    return alternate if settings["residual"] == "alternate" else settings["residual"] == "concat"


def _shape(settings: Mapping) -> tuple[int, int, int]:
    return channels_of(settings), size_of(settings), size_of(settings)


def _transformer(settings: Mapping) -> dict:
    names = dict(num_layers="token_layers", num_hidden="token_size", num_heads="heads")
    same = ("stride", "dropout", "norm_first")
    found = {ours: settings[name] for ours, name in names.items()} | {name: settings[name] for name in same}
    return found | {"patch_size": settings["patch"]}
