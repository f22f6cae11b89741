"""A small SIREN for every image, whose weights are written by the code.

Source: Sitzmann et al. 2020, arXiv:2006.09661, sec. 4.4, and the hypernetworks of its official code: the heads' weights
start at a small part of Kaiming's, their biases at what the written network needs.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.decoders.modulated import PHASE, sine_weights_
from siren_fastai.autoencoder.positions import highest_of
from siren_fastai.autoencoder.shapes import check_code, check_count
from siren_fastai.models.siren import siren_model

__all__ = ["HypernetworkDecoder"]

OUTPUT_GAIN = 1 / 30  # of the last layer's first weights, as in the official code, where omega_0 is 30
HEAD_GAIN = 0.3  # of Kaiming's sqrt(2 / code_size): after 12 800 tiles an L1 of .097, with the official 0.01 .121


class HypernetworkDecoder(Decoder):
    """One linear head per layer turns the code into the weights of a SIREN, which turns positions into colours.

    The codes start around one SIREN, with frequencies up to the Nyquist frequency of `default_shape`. With a
    code of 102 and the other defaults it has 237 621 parameters, and each written SIREN 2307.
    Shapes: (n, code) -> (n, channels, height, width).
    """

    def __init__(
        self,
        code_size: int,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        num_hidden: int = 32,  # sines per layer of the written SIREN
        num_layers: int = 3,  # its sine layers
        default_shape: Sequence[int] = (32, 32),  # (height, width)
        highest_frequency: float | None = None,  # rad per unit; None is the Nyquist frequency of `default_shape`
        activation_out: str | None = "sigmoid",  # None leaves the colours unbounded
    ):
        super().__init__(code_size, num_output_channels, default_shape)
        hidden = [check_count("num_hidden", num_hidden)] * check_count("num_layers", num_layers)
        self.dims = [2, *hidden, num_output_channels]
        highest = highest_of(highest_frequency, self.default_shape)
        pairs = list(zip(self.dims, self.dims[1:], strict=False))
        self.heads = nn.ModuleList(nn.Linear(code_size, n_out * (n_in + 1)) for n_in, n_out in pairs)
        for i, (head, (n_in, n_out)) in enumerate(zip(self.heads, pairs, strict=True)):
            nn.init.normal_(head.weight, std=HEAD_GAIN * math.sqrt(2 / code_size))
            weight = sine_weights_(torch.empty(n_out, n_in), None if i else highest)
            bias = torch.empty(n_out, 1).uniform_(-PHASE, PHASE)
            start = torch.cat([weight, bias], dim=1) * (OUTPUT_GAIN if i == num_layers else 1.0)
            head.bias.data.copy_(start.flatten())
        self.activation = activation_layer(activation_out)

    def weights(
        self,
        code: Tensor,  # (n, code_size)
    ) -> list[tuple[Tensor, Tensor]]:
        """Return (n, n_out, n_in) weights and (n, n_out) biases of each layer of the codes' SIRENs."""
        layers = zip(self.heads, self.dims, strict=False)
        written = [head(code).view(len(code), -1, n_in + 1) for head, n_in in layers]
        return [(layer[..., :-1], layer[..., -1]) for layer in written]

    def colors(self, code: Tensor, positions: Tensor) -> Tensor:
        with torch.autocast(positions.device.type, enabled=False):  # bfloat16 is too coarse for the fastest waves
            (weight, bias), *others = self.weights(code.to(self.heads[0].weight))
            x = positions.to(weight).expand(len(code), *positions.shape[-2:])
            x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
        for weight, bias in others:
            x = torch.baddbmm(bias[:, None], x.sin(), weight.transpose(1, 2))
        return self.activation(x)

    @torch.no_grad()
    def siren(
        self,
        code: Tensor,  # (code_size,) or (1, code_size)
    ) -> nn.Sequential:
        """Return the SIREN that a code writes, as a network of its own: positions (p, 2) -> colours (p, c).

        Its outputs are those before `activation_out`; its sine layers have an omega_0 of 1.
        """
        code = check_code(code, self.code_size)
        if len(code) > 1:
            raise ValueError(f"`code` must be a single one, got {len(code)}")
        network = siren_model(self.dims, omega_0=1.0).to(code)
        linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
        for linear, (weight, bias) in zip(linears, self.weights(code), strict=True):
            linear.weight.copy_(weight[0])
            linear.bias.copy_(bias[0])
        return network
