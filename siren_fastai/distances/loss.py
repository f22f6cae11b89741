"""A network with its gradient, and the loss that makes it a signed distance.

Source: Sitzmann et al. 2020, arXiv:2006.09661, eq. 6 and supplement 5; weights of its official code.
"""

import torch
from torch import Tensor, nn

__all__ = ["DistanceLoss", "WithGradient"]


class WithGradient(nn.Module):
    """A network from positions to one value, which gives the value and its gradient by the positions.

    It works where gradients are off, as in validation. `network` is the network.
    Shapes: (n, d) -> (n, 1 + d), the value first.
    """

    def __init__(
        self,
        network: nn.Module,  # (n, d) -> (n, 1)
    ):
        super().__init__()
        self.network = network

    def forward(self, coords: Tensor) -> Tensor:
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            coords = coords.detach().requires_grad_()
            values = self.network(coords)
            (slopes,) = torch.autograd.grad(values.sum(), coords, create_graph=training)
        return torch.cat([values if training else values.detach(), slopes], dim=1)


class DistanceLoss(nn.Module):
    """The paper's loss: slopes of length 1 everywhere, 0 and the right normals on the surface, not 0 elsewhere.

    `eikonal * | |slope| - 1 |` over all positions `+ surface * |value| + normals * (1 - cos(slope, normal))`
    over the surface `+ off_surface * exp(-sharpness * |value|)` over free space, each a mean.
    With a low `sharpness` the last term favours the greatest values that slopes of length 1 allow, which are the
    distance; many other functions have such slopes too. The official code has weights of 50, 3000, 100 and 100, and a
    sharpness of 100.
    Shapes: predictions (n, 1 + d) of `WithGradient`, targets (n, d): normals, or zeros for free space -> ().
    """

    def __init__(
        self,
        eikonal: float = 50.0,  # weight of slopes of length 1
        surface: float = 300.0,  # weight of zeros on the surface
        normals: float = 30.0,  # weight of the normals
        off_surface: float = 10.0,  # weight of other values elsewhere
        sharpness: float = 3.0,  # per unit of distance: values far above 1 / sharpness aren't penalised
    ):
        super().__init__()
        self.eikonal, self.surface, self.normals = eikonal, surface, normals
        self.off_surface, self.sharpness = off_surface, sharpness

    def forward(self, pred: Tensor, normals: Tensor) -> Tensor:
        values, slopes = pred[:, 0], pred[:, 1:]
        on = (normals != 0).any(1).to(pred)  # a mask instead of an index: nothing waits for the device
        n_on, n_off = on.sum().clamp_min(1), (1 - on).sum().clamp_min(1)
        cosines = torch.cosine_similarity(slopes, normals, dim=1)
        return (
            self.eikonal * (slopes.norm(dim=1) - 1).abs().mean()
            + self.surface * (values.abs() * on).sum() / n_on
            + self.normals * ((1 - cosines) * on).sum() / n_on
            + self.off_surface * (torch.exp(-self.sharpness * values.abs()) * (1 - on)).sum() / n_off
        )
