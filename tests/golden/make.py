"""Makes the golden files of the format's present version: run once per version, `python tests/golden/make.py`.

The files of a version are never made again: they show that later libraries still read it.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from siren_fastai.clusters import label_features
from siren_fastai.coords import grid_coords
from siren_fastai.images import to_uint8
from siren_fastai.models.siren import siren_model
from siren_fastai.quantize.quantizers import fit_quantizer, quantize
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.format import CodedTensor, Denoise, Encoded, Labels, Network, write

FOLDER = Path(__file__).parent


def picture(height: int, width: int) -> torch.Tensor:
    """A red disc, a green ramp, a blue sky."""
    y, x = grid_coords((height, width)).view(height, width, 2).unbind(-1)
    disc = ((y**2 + x**2) < 0.4).float()
    return torch.stack([0.2 + 0.6 * disc, 0.5 + 0.4 * x * y, 0.6 - 0.3 * y], dim=-1).clamp(0, 1)


def fitted(dims: list[int], inputs: torch.Tensor, target: torch.Tensor, omega_0: float, bits: list[int]) -> Network:
    model = siren_model(dims, omega_0)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(600):
        optimizer.zero_grad()
        (model(inputs) - target).square().mean().backward()
        optimizer.step()
    return Network(dims, [coded(t.detach(), b) for t, b in zip(model.parameters(), bits, strict=True)])


def coded(weight: torch.Tensor, bits: int) -> CodedTensor:
    """0 bits for half precision; negative bits for a step per row."""
    if bits == 0:
        return CodedTensor("fp16", values=weight.numpy().astype(np.float16))
    quantizer = fit_quantizer(weight, abs(bits), by_row=bits < 0)
    return CodedTensor("uniform", abs(bits), quantizer.step, quantize(weight, quantizer).numpy())


def contents() -> dict[str, Encoded]:
    image, coords = picture(24, 16), grid_coords((24, 16))
    small = image[::4, ::4]
    table = (small[..., 0] > 0.5).long() + (small[..., 2] > 0.6).long()  # 6 x 4 cells of 3
    large = table.repeat_interleave(4, 0).repeat_interleave(4, 1)
    mean = image.mean((0, 1))
    colours = image.view(-1, 3)
    gray, tiny = colours.mean(1, keepdim=True), picture(6, 4).view(-1, 3)[:, 1:2]
    masks = [(large == i).flatten() for i in range(3)]
    return {
        "v1-tiny": Encoded(6, 4, 1, [fitted([2, 3, 1], grid_coords((6, 4)), tiny, 30, [5, 4, 6, 0])]),
        "v1-gray": Encoded(
            24, 16, 1, [fitted([2, 10, 10, 1], coords, gray, 20, [7, 6, -6, 6, 7, 8])], "corners", 20, 20
        ),
        "v1-feature": Encoded(
            24,
            16,
            3,
            [fitted([5, 8, 3], torch.cat([coords, label_features(large, 3)], 1), colours - mean, 30, [6, 5, 7, 8])],
            mean=tuple(mean.tolist()),
            labels=Labels(table.numpy(), 3, "feature"),
            denoise=Denoise("median", 1.0),
        ),
        "v1-clusters": Encoded(
            24,
            16,
            3,
            [fitted([2, 5, 3], coords[m], colours[m], 30, [6, 5, 6, 6]) for m in masks],
            labels=Labels(large.numpy(), 3, "network"),
        ),
    }


if __name__ == "__main__":
    torch.manual_seed(0)
    for name, encoded in contents().items():
        data = write(encoded)
        (FOLDER / f"{name}.sirn").write_bytes(data)
        Image.fromarray(to_uint8(decompress(data)).squeeze()).save(FOLDER / f"{name}.png", optimize=True)
        print(name, len(data))
