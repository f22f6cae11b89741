"""The autoencoder that a collection of images gets by default."""

from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.model import Autoencoder

__all__ = ["CODE_SIZE", "default_autoencoder"]

CODE_SIZE = 102  # values per code: a tenth of the pixels of 32 x 32, as note 002 has it


def default_autoencoder(
    dls,  # fastai DataLoaders of images, such as `PictureDataLoaders`
    code_size: int = CODE_SIZE,  # values per code
) -> Autoencoder:
    """Return an untrained autoencoder for the images of `dls`: the note's convolutions, and its decoder."""
    shape = dls.train_ds.shape
    decoder = ImageManifoldDecoder(code_size, shape[0], default_shape=shape[1:])
    return Autoencoder(EncoderConv2d(shape, code_size), decoder)
