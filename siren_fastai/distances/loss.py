"""A network with its gradient, and losses that make it a signed distance.

Source: Sitzmann et al. 2020, arXiv:2006.09661, eq. 6 and supplement 5; weights of its official code.
"""

import torch
from torch import Tensor, nn

from siren_fastai.models.chain_rule import has_written_slopes, values_and_slopes
from siren_fastai.models.derivatives import check_slopes, derivative, differentiable

__all__ = ["DistanceLoss", "WithGradient"]


class WithGradient(nn.Module):
    """A network from positions to one value, which gives the value and its gradient by the positions.

    It works where gradients are off, as in validation and `torch.inference_mode`. `network` is the network.
    Shapes: (n, d) -> (n, 1 + d), the value first.
    Raises: ValueError for FINER layers that leave a factor out of their gradient; set their `scale_gradient`.
    """

    def __init__(
        self,
        network: nn.Module,  # (n, d) -> (n, 1)
    ):
        super().__init__()
        check_slopes(network)
        self.network = network

    def forward(self, coords: Tensor) -> Tensor:
        if has_written_slopes(self.network, coords):
            return torch.cat(values_and_slopes(self.network, coords), dim=1)
        kept = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            coords = differentiable(coords, kept)
            values = self.network(coords)
            slopes = derivative(values[:, 0], coords, kept)
            return torch.cat([values if kept else values.detach(), slopes], dim=1)


class DistanceLoss(nn.Module):
    """Slopes of length 1 everywhere, 0 and the right normals on the surface, the nearest points' distance elsewhere.

    `eikonal * | |slope| - 1 |` over all positions `+ surface * |value| + normals * (1 - cos(slope, normal))`
    over the surface `+ nearest * |value - distance| + off_surface * exp(-sharpness * |value|)` over free space, each a
    mean. The paper's loss, `DistanceLoss.paper()`, has no term of distances: away from the surface it asks for slopes
    of length 1 and values that aren't 0, and many functions other than the distance have them.
    Shapes: predictions (n, 1 + d) of `WithGradient`; targets (n, 1 + d): distances, then normals, which are zeros in
    free space -> ().
    """

    def __init__(
        self,
        eikonal: float = 50.0,  # weight of slopes of length 1
        surface: float = 300.0,  # weight of zeros on the surface
        normals: float = 30.0,  # weight of the normals
        nearest: float = 100.0,  # weight of the distances from the nearest points
        off_surface: float = 0.0,  # weight of values other than 0 in free space
        sharpness: float = 100.0,  # per unit of distance: values far above 1 / sharpness aren't penalised
    ):
        super().__init__()
        self.eikonal, self.surface, self.normals = eikonal, surface, normals
        self.nearest, self.off_surface, self.sharpness = nearest, off_surface, sharpness

    @classmethod
    def paper(cls) -> "DistanceLoss":
        """The paper's loss with the weights of its official code, whose means count free space and surface together."""
        return cls(surface=1500.0, normals=50.0, nearest=0.0, off_surface=50.0)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        values, slopes, normals = pred[:, 0], pred[:, 1:], target[:, 1:]
        on = (normals != 0).any(1).to(pred)  # a mask instead of an index: nothing waits for the device
        off, n_on = 1 - on, on.sum().clamp_min(1)
        n_off = off.sum().clamp_min(1)
        loss = self.eikonal * (slopes.norm(dim=1) - 1).abs().mean()
        loss = loss + self.surface * (values.abs() * on).sum() / n_on
        loss = loss + self.normals * ((1 - torch.cosine_similarity(slopes, normals, dim=1)) * on).sum() / n_on
        loss = loss + self.nearest * ((values - target[:, 0]).abs() * off).sum() / n_off
        return loss + self.off_surface * (torch.exp(-self.sharpness * values.abs()) * off).sum() / n_off
