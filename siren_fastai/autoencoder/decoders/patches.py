"""A transformer decoder that draws patches: the one decoder here that isn't a function of the position."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.encoders.patches import layer_settings, patch_grid, redraw_
from siren_fastai.autoencoder.shapes import check_code, check_count, check_image_shape, check_size

__all__ = ["PatchDecoder"]


class PatchDecoder(nn.Module):
    """One learned query per patch attends to the others and to tokens made from the code, then becomes its pixels.

    Overlapping patches are added. It draws images of one size only.
    Shapes: (n, code_size) -> (n, channels, height, width).
    Raises: ValueError for patches that don't cover the image or heads that don't divide the features.
    """

    def __init__(
        self,
        shape: Sequence[int],  # (channels, height, width) of the images
        code_size: int,  # values per code
        patch_size: int = 4,  # pixels
        stride: int = 4,  # pixels from one patch to the next
        num_layers: int = 2,
        num_hidden: int = 256,  # features per token
        num_heads: int = 8,  # of attention
        mlp_dim: int | None = None,  # hidden features of each layer's network; None is `num_hidden`
        dropout: float = 0.1,  # share
        norm_first: bool = False,  # whether layers normalise their input instead of their output
        activation_out: str | None = None,  # None leaves the colours unbounded
    ):
        super().__init__()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        self.num_output_channels, self.grid = self.shape[0], patch_grid(shape, patch_size, stride)
        n_patches = self.grid[0] * self.grid[1]
        settings = layer_settings(num_hidden, num_heads, mlp_dim, dropout, norm_first)
        self.memory = nn.Linear(code_size, n_patches * num_hidden)
        self.queries = nn.Parameter(torch.randn(n_patches, num_hidden))
        norm = nn.LayerNorm(num_hidden) if norm_first else None
        self.layers = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(**settings), check_count("num_layers", num_layers), norm
        )
        redraw_(self.layers)
        self.pixels = nn.ConvTranspose2d(num_hidden, self.shape[0], patch_size, stride)
        self.activation = activation_layer(activation_out)

    def forward(
        self,
        code: Tensor,  # (n, code_size) or (code_size,)
        shape: Sequence[int] | None = None,  # (height, width); only the decoder's own
    ) -> Tensor:  # (n, channels, height, width)
        """Return the images of the codes. Raises: ValueError for a code or an image of another size."""
        if shape is not None and check_size(shape) != self.shape[1:]:
            raise ValueError(
                f"this decoder draws images of {self.shape[1]} x {self.shape[2]} pixels only, not {shape[0]} x "
                f"{shape[1]}: use a decoder of positions, such as ImageManifoldDecoder"
            )
        memory = self.memory(check_code(code, self.code_size)).unflatten(1, self.queries.shape)
        tokens = self.layers(self.queries.expand_as(memory), memory)
        return self.activation(self.pixels(tokens.transpose(1, 2).unflatten(2, self.grid)))
