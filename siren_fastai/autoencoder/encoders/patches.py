"""A transformer encoder whose tokens are the patches of one image.

Source: Vaswani et al. 2017, arXiv:1706.03762; patches as tokens: Dosovitskiy et al. 2021, arXiv:2010.11929, sec. 3.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.shapes import check_count, check_image_shape, check_images
from siren_fastai.models.tiling import check_tiling

__all__ = ["PatchEncoder", "layer_settings", "patch_grid"]


def patch_grid(
    shape: Sequence[int],  # (channels, height, width) of the images
    patch_size: int,  # pixels
    stride: int,  # pixels from one patch to the next
) -> tuple[int, int]:
    """Return how many rows and columns of patches cover an image. Raises: ValueError unless they cover all of it."""
    _, height, width = check_image_shape(shape)
    return check_tiling(height, patch_size, stride), check_tiling(width, patch_size, stride)


def layer_settings(
    num_hidden: int,  # features per token
    num_heads: int,  # of attention
    mlp_dim: int | None,  # hidden features of each layer's network; None is `num_hidden`
    dropout: float,  # share
    norm_first: bool,  # whether layers normalise their input instead of their output
) -> dict:
    """Return the settings of PyTorch's transformer layers. Raises: ValueError unless the heads divide the features."""
    if check_count("num_hidden", num_hidden) % check_count("num_heads", num_heads):
        raise ValueError(f"`num_hidden` must be a multiple of `num_heads`, got {num_hidden} and {num_heads}")
    settings = dict(d_model=num_hidden, nhead=num_heads, dim_feedforward=mlp_dim or num_hidden, dropout=dropout)
    return settings | dict(batch_first=True, norm_first=norm_first)


def redraw_(layers: nn.Module) -> None:
    """Draw every matrix anew: PyTorch's stacks start as copies of one layer."""
    for parameter in layers.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


class PatchEncoder(nn.Module):
    """Patches become tokens, tokens attend to each other within their image, and all of them make the code.

    Each token has a learned embedding of its position. Deep stacks that normalise their outputs, which is the note's
    kind, collapse at learning rates that others bear: `norm_first=True` doesn't.
    Shapes: (n, channels, height, width) -> (n, code_size).
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
    ):
        super().__init__()
        n_patches = torch.Size(patch_grid(shape, patch_size, stride)).numel()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        self.patches = nn.Conv2d(self.shape[0], num_hidden, patch_size, stride)
        self.positions = nn.Parameter(0.02 * torch.randn(n_patches, num_hidden))
        layer = nn.TransformerEncoderLayer(**layer_settings(num_hidden, num_heads, mlp_dim, dropout, norm_first))
        norm = nn.LayerNorm(num_hidden) if norm_first else None
        self.layers = nn.TransformerEncoder(
            layer, check_count("num_layers", num_layers), norm, enable_nested_tensor=False
        )
        redraw_(self.layers)
        self.linear = nn.Linear(n_patches * num_hidden, code_size)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(check_images(images, self.shape)).flatten(2).transpose(1, 2)
        return self.linear(self.layers(tokens + self.positions).flatten(1))
