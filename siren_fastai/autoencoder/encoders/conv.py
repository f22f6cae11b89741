"""Convolutions without padding, then one linear layer: the encoder that did best in note 002."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.shapes import check_count, check_image_shape, check_images

__all__ = ["EncoderConv2d"]


class EncoderConv2d(nn.Module):
    """Convolutions with an activation after each, flattened, then a linear layer to the code.

    With the defaults and images of 3 x 32 x 32 the linear layer reads 21 632 values; 2 217 438 parameters in all.
    Shapes: (n, channels, height, width) -> (n, code_size).
    Raises: ValueError for images that are too small for the convolutions, or other impossible settings.
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),  # (channels, height, width) of the images
        code_size: int = 102,  # values per code
        channels: Sequence[int] = (16, 24, 32),  # of each convolution
        kernel_size: int = 3,  # pixels
        stride: int = 1,  # pixels
        activation: str = "relu",
    ):
        super().__init__()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        check_count("kernel_size", kernel_size), check_count("stride", stride)
        size, layers = list(self.shape[1:]), []
        for n_in, n_out in zip((self.shape[0], *channels), channels, strict=False):
            if min(size) < kernel_size:
                raise ValueError(
                    f"images of {shape[1]} x {shape[2]} pixels are too small for {len(channels)} convolutions of "
                    f"{kernel_size} pixels without padding: use fewer or smaller ones"
                )
            layers += [nn.Conv2d(n_in, check_count("channels", n_out), kernel_size, stride)]
            layers += [activation_layer(activation)]
            size = [(n - kernel_size) // stride + 1 for n in size]
        self.convolution = nn.Sequential(*layers)
        self.linear = nn.Linear([self.shape[0], *channels][-1] * size[0] * size[1], code_size)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.flatten(self.convolution(check_images(images, self.shape)), 1))
