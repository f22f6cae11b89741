"""The network that settings ask for, which reads and draws colours from 0 to 1, or in its own range."""

from collections.abc import Mapping

from torch import Tensor, nn

from siren_fastai.inpainting.networks import inpainting_network
from siren_fastai.inpainting.prefill import PREFILLS
from siren_fastai.study.inpainting.settings import UNTRAINED

__all__ = ["Prefill", "Scaled", "network_of"]

OPTIONS = ("widths", "conv", "dilation", "attention", "mask_channel", "prefill", "residual", "norm")  # of all networks
OWN = {"unet": ("last_skip",), "ae_fc": ("code_size",)}


class Prefill(nn.Module):
    """No network but what one finds in the hole before it starts: the mean colour, or a smooth continuation."""

    def __init__(self, kind: str):
        super().__init__()
        self.fill = PREFILLS[kind]

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.fill(image, mask.bool())


class Scaled(nn.Module):
    """A network that works on colours from 0 to `top`, its output through `last`; the input is from 0 to 1."""

    def __init__(self, network: nn.Module, top: int, last: nn.Module):
        super().__init__()
        self.network, self.top, self.last = network, top, last

    def forward(
        self,
        image: Tensor,  # (n, c, h, w) in [0, 1]
        mask: Tensor,  # (n, 1, h, w), 1 is known
    ) -> Tensor:  # (n, c, h, w) in [0, top]
        return self.last(self.network(self.top * image, mask))


def network_of(
    settings: Mapping,  # complete
) -> Scaled:
    """Return the new network, drawn from torch's random state."""
    kind, relu = settings["network"], settings["output"] == "relu"
    if kind in UNTRAINED:
        return Scaled(Prefill(kind), settings["value_range"], nn.Identity())
    options = {name: settings[name] for name in (*OPTIONS, *OWN.get(kind, ()))}
    options["output"] = "linear" if relu else settings["output"]
    if kind == "ae_fc":
        options["size"] = (settings["size"], settings["size"])
    return Scaled(inpainting_network(kind, **options), settings["value_range"], nn.ReLU() if relu else nn.Identity())
