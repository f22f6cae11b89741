"""Sine layers whose phases are scaled and shifted by the code.

Source: Chan et al. 2021 (pi-GAN), arXiv:2012.00926, sec. 3.1; Perez et al. 2018 (FiLM), arXiv:1709.07871, eq. 1 and 2.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.positions import highest_of
from siren_fastai.autoencoder.shapes import check_count

__all__ = ["ModulatedSirenDecoder", "sine_weights_"]

PHASE = math.pi  # biases at first: U(-pi, pi)


@torch.no_grad()
def sine_weights_(
    weight: Tensor,  # (n_out, n_in), changed in place
    highest: float | None = None,  # rad per unit, if this layer reads positions
) -> Tensor:  # `weight`
    """Draw weights for `sin(W x + b)`, without an omega_0 apart.

    Of positions: any direction, all octaves from half a cycle to `highest`. Of sines: U(+-sqrt(6/n_in)), the SIREN
    rule. Source of that: arXiv:2006.09661, sec. 3.2.
    """
    if highest is None:
        return nn.init.uniform_(weight, -math.sqrt(6 / weight.shape[1]), math.sqrt(6 / weight.shape[1]))
    lowest = min(math.pi / 2, highest)
    length = lowest * (highest / lowest) ** torch.rand(len(weight), 1, device=weight.device)
    return weight.copy_(nn.functional.normalize(torch.randn_like(weight)) * length)


class ModulatedSirenDecoder(Decoder):
    """`sin(scale * (W x + b) + shift)` in every layer, where scale and shift are linear in the code.

    The first layer's frequencies reach the Nyquist frequency of `default_shape`. With a code of 102 and the other
    defaults it has 270 531 parameters.
    Shapes: (n, code) -> (n, channels, height, width).
    """

    def __init__(
        self,
        code_size: int,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        num_hidden: int = 192,  # sines per layer
        num_layers: int = 4,  # sine layers
        default_shape: Sequence[int] = (32, 32),  # (height, width)
        highest_frequency: float | None = None,  # rad per unit; None is the Nyquist frequency of `default_shape`
        activation_out: str | None = "sigmoid",  # None leaves the colours unbounded
    ):
        super().__init__(code_size, num_output_channels, default_shape)
        widths = [2, *[check_count("num_hidden", num_hidden)] * check_count("num_layers", num_layers)]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths, widths[1:], strict=False))
        for i, layer in enumerate(self.layers):
            sine_weights_(layer.weight, None if i else highest_of(highest_frequency, self.default_shape))
            nn.init.uniform_(layer.bias, -PHASE, PHASE)
        self.modulation = nn.Linear(code_size, 2 * num_layers * num_hidden)
        with torch.no_grad():  # all scales start near 1, all shifts near 0
            self.modulation.bias.view(2, -1).copy_(torch.tensor([[1.0], [0.0]]))
        self.output = nn.Sequential(nn.Linear(num_hidden, num_output_channels), activation_layer(activation_out))

    def colors(self, code: Tensor, positions: Tensor) -> Tensor:
        scales, shifts = self.modulation(code).view(len(code), 2, len(self.layers), 1, -1).permute(1, 2, 0, 3, 4)
        with torch.autocast(positions.device.type, enabled=False):  # bfloat16 is too coarse for the fastest waves
            phase = self.layers[0](positions.to(self.layers[0].weight))
        x = torch.addcmul(shifts[0], phase, scales[0]).sin()
        for layer, scale, shift in zip(self.layers[1:], scales[1:], shifts[1:], strict=True):
            x = torch.addcmul(shift, layer(x), scale).sin()
        return self.output(x)
