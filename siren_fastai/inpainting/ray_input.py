"""What a network that fills holes along rays reads and weights: the image at half its size, its rays and features."""

import torch
from torch import Tensor

from siren_fastai.inpainting.prefill import smooth_prefill
from siren_fastai.inpainting.rays import RAYS, blend, cast_rays, disagreement, halved, membrane, ray_weights

__all__ = ["RAY_OUTPUTS", "RayInput", "ray_features"]

RAY_OUTPUTS = RAYS + 1  # changes to the logarithms of the weights: of the rays, and of the smooth surface
LEAST_STD = 0.02  # of values in [0, 1], by which a flat image is divided
NEAR = 8.0  # pixels at half size: the distance whose feature is 1/2


class RayInput:
    """An image's rays at half its size, and what is drawn from them with the outputs of a network.

    Colours are standardised: the mean of the known pixels is 0 and their standard deviation 1, so that brightness and
    contrast make no difference to the network.
    """

    def __init__(
        self,
        image: Tensor,  # (n, c, h, w) of even sides
        known: Tensor,  # (n, 1, h, w) bool
    ):
        self.image, self.known = image, known
        half, self.half_known = halved(image, known)
        self.mean, self.std = _statistics(half, self.half_known)
        self.smooth, self.hole = smooth_prefill(half, self.half_known), ~self.half_known[:, 0]
        self.colors, self.distances = cast_rays(half, self.half_known)
        self.differences = disagreement(self.colors, self.distances)
        self.weights = ray_weights(self.distances, self.differences)

    def filled(self) -> Tensor:
        """(n, c + 1, h / 2, w / 2): the smoothly filled image, standardised, and the mask."""
        return torch.cat([(self.smooth - self.mean) / self.std, self.half_known.to(self.smooth.dtype)], 1)

    def features(self) -> Tensor:
        """(n, 24 + c, h / 2, w / 2): how well ends agree, how near they are, and the blend without a network."""
        std = self._rows(self.std.expand_as(self.smooth[:, :1]))
        blended = blend(self.weights / self.weights.sum(1, keepdim=True), self.colors, self._rows(self.smooth))
        blended = (blended - self._rows(self.mean.expand_as(self.smooth))) / std
        rows = torch.cat([self.differences.sqrt() / std, 1 / (1 + self.distances / NEAR), blended], 1)
        known = self.filled()[:, :-1]
        near = torch.cat([torch.zeros_like(known[:, :1]).expand(-1, 8, -1, -1), torch.ones_like(known[:, :1])], 1)
        plane = torch.cat([near[:, :8], near[:, 8:].expand(-1, RAYS, -1, -1), known], 1).permute(0, 2, 3, 1)
        return plane.index_put((self.hole,), rows).permute(0, 3, 1, 2)

    def draw(
        self,
        changes: Tensor,  # (n, 17, h / 2, w / 2): is added to the logarithms of the weights
        residual: Tensor,  # (n, c, h / 2, w / 2): is added to the blend, in standard deviations
    ) -> Tensor:  # (n, c, h, w)
        """Return the filled image. With zeros it is the blend that nothing was learned for."""
        weights = (self.weights.log() + self._rows(changes.float())).softmax(1)
        rows = blend(weights, self.colors, self._rows(self.smooth)) + self._rows(residual.float() * self.std)
        half = self.smooth.permute(0, 2, 3, 1).index_put((self.hole,), rows)
        return membrane(half.permute(0, 3, 1, 2).contiguous(), self.image, self.known)

    def _rows(self, x: Tensor) -> Tensor:
        """(n, k, h / 2, w / 2) -> (p, k), the values in the hole."""
        return x.permute(0, 2, 3, 1)[self.hole]


def ray_features(
    channels: int,  # of the images
) -> int:
    """The number of channels of `RayInput.features`."""
    return RAYS // 2 + RAYS + channels


def _statistics(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (n, c, 1, 1) of the known pixels, and their standard deviation (n, 1, 1, 1) over all channels."""
    count = known.sum((2, 3), keepdim=True).clamp_min(1)
    mean = (image * known).sum((2, 3), keepdim=True) / count
    variance = ((image - mean).square() * known).sum((2, 3), keepdim=True) / count
    return mean, variance.mean(1, keepdim=True).sqrt() + LEAST_STD
