"""The decoder of note 002: a residual network that reads the code and the position side by side."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.decoders.blocks import residual_blocks
from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.positions import (
    NOTE_FREQUENCIES,
    checked_frequencies,
    count_position_features,
    position_features,
)
from siren_fastai.autoencoder.shapes import check_count

__all__ = ["ImageManifoldDecoder"]


class ImageManifoldDecoder(Decoder):
    """Position + code -> colour: one layer on code and position features, residual blocks, one layer to the colour.

    With the defaults and a code of 102 it has 293 891 parameters. The note draws image by image; here the whole batch
    goes through at once, and the first layer is computed apart for codes and for positions, then added.
    Pixels lie on linspace(-1, 1, n) along each axis.
    Shapes: (n, code) -> (n, channels, height, width).
    Raises: ValueError or TypeError for settings that no such network has.
    """

    pixel_grid = "corners"

    def __init__(
        self,
        num_input_channels: int,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        num_hidden: int = 256,  # features of the first block
        num_blocks: int = 2,
        num_layers_per_block: int = 2,
        concat_residual: bool | Sequence[bool] = False,  # for all blocks or for each; one that concatenates doubles it
        pos_embedding_freqs: Sequence[float] | None = NOTE_FREQUENCIES,  # rad per unit; None reaches the Nyquist one
        batch_norm: bool | str = True,  # True, False, or "per_image" as the note trained it
        default_shape: Sequence[int] = (32, 32),  # (height, width)
        activation: str = "gelu",
        activation_out: str | None = "sigmoid",  # None leaves the colours unbounded
        cos: bool = True,  # whether position features have cosines: False is the note's first version
    ):
        super().__init__(num_input_channels, num_output_channels, default_shape)
        self.frequencies, self.cos = checked_frequencies(pos_embedding_freqs, self.default_shape), cos
        n_features = count_position_features(self.frequencies, cos)
        self.input = nn.Linear(self.code_size + n_features, check_count("num_hidden", num_hidden))
        self.activation = activation_layer(activation)
        self.blocks, width = residual_blocks(
            num_hidden, num_blocks, num_layers_per_block, concat_residual, batch_norm, activation
        )
        self.output = nn.Sequential(nn.Linear(width, num_output_channels), activation_layer(activation_out))

    def colors(self, code: Tensor, positions: Tensor) -> Tensor:
        of_code, of_position = self.input.weight.tensor_split([self.code_size], dim=1)
        features = position_features(positions, self.frequencies, self.cos)
        x = F.linear(code, of_code, self.input.bias)[:, None] + F.linear(features, of_position)
        return self.output(self.blocks(self.activation(x)))
