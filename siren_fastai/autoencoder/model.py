"""An encoder and a decoder as one model: images to codes, and codes to images of any size."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Autoencoder"]


class Autoencoder(nn.Module):
    """`decode(encode(images))`, of any encoder and decoder with the same code length.

    Shapes: (n, channels, height, width) -> the same, or with `positions` (n, p, 2) -> (n, p, channels).
    Raises: ValueError if the two have other code lengths or channels, as far as they tell: those of this library do.
    """

    def __init__(
        self,
        encoder: nn.Module,  # (n, c, h, w) -> (n, code_size)
        decoder: nn.Module,  # (n, code_size) and perhaps a shape (height, width) -> (n, c, height, width)
    ):
        super().__init__()
        _check_pair(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder

    @property
    def code_size(self) -> int | None:
        """Values per code; None if neither part tells."""
        return getattr(self.encoder, "code_size", getattr(self.decoder, "code_size", None))

    def encode(
        self,
        images: Tensor,  # (n, c, h, w) float in [0, 1]
    ) -> Tensor:  # (n, code_size)
        """Return the codes of images."""
        return self.encoder(images)

    def decode(
        self,
        code: Tensor,  # (n, code_size) or (code_size,)
        shape: Sequence[int] | None = None,  # (height, width); None is the decoder's own
    ) -> Tensor:  # (n, c, height, width)
        """Return the images of codes, of any size if the decoder is one of positions."""
        return self.decoder(code) if shape is None else self.decoder(code, shape)

    def forward(
        self,
        images: Tensor,  # (n, c, h, w)
        positions: Tensor | None = None,  # (p, 2) or (n, p, 2): (y, x) in [-1, 1]; None is the whole image
    ) -> Tensor:
        """Return the images of their codes, or the colours at some positions, which costs so much less."""
        code = self.encode(images)
        return self.decode(code) if positions is None else self.decoder.at(code, positions)


def _check_pair(encoder: nn.Module, decoder: nn.Module) -> None:
    sizes = [getattr(part, "code_size", None) for part in (encoder, decoder)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(f"the encoder makes codes of {sizes[0]} values, but the decoder reads {sizes[1]}")
    shape, channels = getattr(encoder, "shape", None), getattr(decoder, "num_output_channels", None)
    if shape is not None and channels is not None and shape[0] != channels:
        raise ValueError(f"the encoder reads images of {shape[0]} channels, but the decoder draws {channels}")
