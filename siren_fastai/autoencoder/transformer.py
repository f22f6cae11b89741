"""The transformer autoencoder of note 002, in the reading where images don't see each other."""

from collections.abc import Sequence

from siren_fastai.autoencoder.decoders.patches import PatchDecoder
from siren_fastai.autoencoder.encoders.patches import PatchEncoder
from siren_fastai.autoencoder.model import Autoencoder

__all__ = ["transformer_autoencoder"]


def transformer_autoencoder(
    shape: Sequence[int],  # (channels, height, width) of the images
    code_size: int,  # values per code
    patch_size: int = 4,  # pixels
    stride: int = 4,  # pixels from one patch to the next
    num_layers: int = 2,  # of the encoder, and as many of the decoder
    num_hidden: int = 256,  # features per token
    num_heads: int = 8,  # of attention
    mlp_dim: int | None = None,  # hidden features of each layer's network; None is `num_hidden`
    dropout: float = 0.1,  # share
    norm_first: bool = False,  # whether layers normalise their input: deep stacks train only so
    activation_out: str | None = None,  # None leaves the colours unbounded
) -> Autoencoder:
    """Return an autoencoder with a transformer over patches on both sides.

    The note's code has one vector per image, which PyTorch reads as one sequence over the batch, so that its
    reconstructions depend on the other images. Here the tokens are the patches of one image.
    Raises: ValueError for patches that don't cover the image or heads that don't divide the features.
    """
    settings = (patch_size, stride, num_layers, num_hidden, num_heads, mlp_dim, dropout, norm_first)
    encoder = PatchEncoder(shape, code_size, *settings)
    return Autoencoder(encoder, PatchDecoder(shape, code_size, *settings, activation_out))
