"""The numbers of a program as bytes for textures, and how many of them a page can hold.

Units, of the first layer: three float64 each, the weights by row and column and the bias ("radial": the centre and
sigma), omega_0 of a sine multiplied in; the units of one label after the other. Weights, of the other layers: texels of
four numbers, for each four units their biases, then for each four inputs the four columns of a 4 x 4 block.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from siren_fastai.page.layers import Layer
from siren_fastai.page.program import Program
from siren_fastai.page.shader import quads

__all__ = ["label_bytes", "pack_units", "pack_weights", "plain_units", "stride"]

MAX_TEXELS = 1 << 21  # 1024 x 2048, the size that every WebGL2 has: 8 million weights


def pack_units(program: Program) -> bytes:
    """The first layers. Shapes: float64 (labels, units, 3), units a multiple of 4."""
    rows = 4 * quads(program)[0]
    heads = [_phased(head) for head in program.heads]
    _check_size(rows * len(heads), "labels times first units")
    parts = [_padded(torch.cat([head.weight, head.bias[:, None]], 1), rows, 3) for head in heads]
    return torch.stack(parts).numpy().astype("<f8").tobytes()


def pack_weights(
    program: Program,
    half: bool,  # float16 instead of float32
) -> bytes:
    """The other layers. Shapes: (labels or 1, texels, 4)."""
    _check_size(stride(program) * len(program.bodies), "weights")
    sizes = quads(program)
    parts = [_blocks(layer, *sizes[i : i + 2]) for body in program.bodies for i, layer in enumerate(body)]
    texels = np.concatenate([part.numpy() for part in parts]) if parts else np.zeros((0, 4))
    return texels.astype("<f2" if half else "<f4").tobytes()


def label_bytes(program: Program) -> bytes:
    """The label of each cell, a byte each, in raster order; nothing without labels."""
    return b"" if program.labels is None else program.labels.numpy().astype(np.uint8).tobytes()


def stride(program: Program) -> int:
    """The texels of the layers after the first, for one label."""
    sizes = quads(program)
    return sum(out * (1 + 4 * before) for before, out in zip(sizes[:-1], sizes[1:], strict=True))


def plain_units(program: Program) -> int:
    """How many of the first units, from the start, aren't sines: what a sine adds up may be reduced by full turns."""
    steps = program.heads[0].steps
    if not steps or steps[0][0] not in ("sine", "encoding"):
        return len(program.heads[0].bias)
    return 0 if steps[0][0] == "sine" else steps[0][1]


def _phased(head: Layer) -> Layer:
    """A sine's layer with its omega_0 in weight and bias."""
    if not head.steps or head.steps[0][0] != "sine":
        return head
    omega_0 = head.steps[0][1]
    return replace(head, weight=omega_0 * head.weight, bias=omega_0 * head.bias)


def _blocks(layer: Layer, quads_in: int, quads_out: int) -> Tensor:
    """The texels of one layer. Shapes: (quads_out * (1 + 4 * quads_in), 4)."""
    weight = _padded(layer.weight, 4 * quads_out, 4 * quads_in).view(quads_out, 4, 4 * quads_in)
    bias = _padded(layer.bias[:, None], 4 * quads_out, 1).view(quads_out, 1, 4)
    return torch.cat([bias, weight.transpose(1, 2)], 1).flatten(0, 1)


def _padded(values: Tensor, rows: int, columns: int) -> Tensor:
    padded = values.new_zeros(rows, columns)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded


def _check_size(texels: int, what: str) -> None:
    if texels > MAX_TEXELS:
        raise ValueError(
            f"a page holds up to {MAX_TEXELS:,} texels of {what}, got {texels:,}: give a smaller network, or draw this "
            "one by `render`"
        )
