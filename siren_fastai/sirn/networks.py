"""The section of a `.sirn` file that describes its networks: widths, steps, symbol models, half-precision values.

The symbols themselves are not here but in one entropy-coded stream for all networks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siren_fastai.quantize.entropy import FAMILIES, SymbolModel, code_length, fit_model
from siren_fastai.quantize.quantizers import BITS
from siren_fastai.sirn.contents import STEP, CodedTensor, Network
from siren_fastai.sirn.reader import Limits, Reader, varint

__all__ = ["Head", "read_networks", "write_networks"]

BY_ROW, SAME_MODEL, KNOWN = 16, 32, 63  # flags next to the bits of a tensor's first byte
CONSTANT = SymbolModel(FAMILIES[0], 0.5, 0)  # of a tensor of zeros


@dataclass
class Head:
    """What the section says of one tensor, and how many of its bytes are steps and how many the model."""

    shape: tuple[int, ...]
    bits: int = 16
    step: Tensor | None = None
    model: SymbolModel | None = None
    values: np.ndarray | None = None
    step_bytes: int = 0
    model_bytes: int = 0

    @property
    def count(self) -> int:
        """The tensor's number of parameters."""
        return int(np.prod(self.shape))

    def tensor(self, symbols: np.ndarray | None) -> CodedTensor:
        """The tensor, with its symbols if it has any."""
        if self.model is None:
            return CodedTensor("fp16", values=self.values)
        return CodedTensor("uniform", self.bits, self.step, symbols.reshape(self.shape))


def write_networks(networks: list[Network]) -> tuple[bytes, list[tuple[np.ndarray, SymbolModel]]]:
    """The section's payload, and the symbols with their models for the stream."""
    out, stream, last, hidden = bytearray(), [], {}, None
    for network in networks:
        out += _write_widths(network.dims[1:-1], hidden)
        hidden = network.dims[1:-1]
        for tensor in network.tensors:
            if tensor.kind == "fp16":
                out += b"\0" + tensor.values.astype("<f2").tobytes()
                continue
            head, model = _write_head(tensor, last.get(tensor.symbols.ndim))
            last[tensor.symbols.ndim] = model
            stream.append((tensor.symbols, model))
            out += head
    return bytes(out), stream


def _write_widths(hidden: list[int], before: list[int] | None) -> bytes:
    """0 for the widths of the network before; else 1 + 2n + e, and n widths, or one if they are equal (e = 1)."""
    if hidden == before:
        return b"\0"
    equal = len(hidden) > 1 and len(set(hidden)) == 1
    return b"".join(map(varint, [1 + 2 * len(hidden) + equal, *(hidden[:1] if equal else hidden)]))


def _write_head(tensor: CodedTensor, last: SymbolModel | None) -> tuple[bytes, SymbolModel]:
    """The first byte, steps and model of a tensor; the last model again where that takes fewer bits in all."""
    model = fit_model(tensor.symbols)
    text = varint(model.limit) + (_model_code(model) if model.limit else b"")
    flags = tensor.bits | (BY_ROW if tensor.step.dim() else 0)
    if last is not None and model.limit <= last.limit < 2 ** (tensor.bits - 1):
        saved = 8 * len(text) + code_length(tensor.symbols, model) - code_length(tensor.symbols, last)
        if saved >= 0:
            flags, text, model = flags | SAME_MODEL, b"", last
    steps = (tensor.step.numpy().reshape(-1).view(np.uint32) >> 16).astype("<u2").tobytes()
    return bytes([flags]) + steps + text, model


def _model_code(model: SymbolModel) -> bytes:
    """The upper half of the decay as float32, whose sign is the family."""
    code = int(np.float32(model.decay).view(np.uint32)) >> 16
    return (code | FAMILIES.index(model.family) << 15).to_bytes(2, "little")


def read_networks(
    reader: Reader, n_networks: int, inputs: int, channels: int, limits: Limits, most: int
) -> list[tuple[list[int], list[Head]]]:
    """The widths and the tensors' heads of each network; `most` parameters in all."""
    networks, last, hidden = [], {}, None
    for _ in range(n_networks):
        start = reader.at
        hidden = _read_widths(reader, hidden, limits)
        dims = [inputs, *hidden, channels]
        most -= Network.count(dims)
        if most < 0:
            reader.fail(f"the networks up to widths {dims} have too many parameters, {-most} more than allowed", start)
        networks.append((dims, [_read_head(reader, shape, last) for shape in Network.shapes(dims)]))
    reader.end("the section of the networks")
    return networks


def _read_widths(reader: Reader, before: list[int] | None, limits: Limits) -> list[int]:
    start = reader.at
    code = reader.number("the number of hidden layers", 0, 2 * limits.layers)
    if code == 0:
        if before is None:
            reader.fail("the first network has no network before it to copy its widths from", start)
        return before
    n, equal = divmod(code - 1, 2)
    widths = [reader.number("a layer's width", 1, limits.width) for _ in range(1 if equal else n)]
    if equal and n < 2:
        reader.fail("equal widths need at least two hidden layers", start)
    return widths * n if equal else widths


def _read_head(reader: Reader, shape: tuple[int, ...], last: dict[int, SymbolModel]) -> Head:
    """One tensor's; `last` holds the latest models of weights (2) and of biases (1)."""
    start, flags = reader.at, reader.byte("a tensor's first byte")
    bits = flags & 15
    if flags == 0:
        return Head(shape, values=_read_halves(reader, shape))
    if bits not in BITS or flags & ~KNOWN or (flags & BY_ROW and len(shape) < 2):
        reader.fail(f"a tensor of shape {shape} cannot begin with {flags:#04x}", start)
    step = _read_steps(reader, shape[0] if flags & BY_ROW else 1)
    steps_end = reader.at
    if not flags & SAME_MODEL:
        last[len(shape)] = _read_model(reader, 2 ** (bits - 1) - 1)
    model = last.get(len(shape))
    if model is None or model.limit >= 2 ** (bits - 1):
        reader.fail(f"there is no earlier symbol model that suits {bits} bits", start)
    step = step.view(-1, 1) if flags & BY_ROW else step.view(())
    return Head(shape, bits, step, model, None, steps_end - start - 1, reader.at - steps_end)


def _read_halves(reader: Reader, shape: tuple[int, ...]) -> np.ndarray:
    start, count = reader.at, int(np.prod(shape))
    values = np.frombuffer(reader.take(2 * count, f"a half-precision tensor of shape {shape}"), "<f2")
    if not np.isfinite(values).all():
        reader.fail("half-precision values must be finite", start)
    return values.astype(np.float16).reshape(shape)


def _read_steps(reader: Reader, n: int) -> Tensor:
    start = reader.at
    codes = np.frombuffer(reader.take(2 * n, "the quantiser's steps"), "<u2").astype(np.uint32)
    steps = torch.from_numpy((codes << 16).view(np.float32))
    if not bool(((steps >= STEP[0]) & (steps <= STEP[1])).all()):
        reader.fail(f"steps must be from {STEP[0]:g} to {STEP[1]:g}, got {steps.tolist()!s:.80}", start)
    return steps


def _read_model(reader: Reader, most: int) -> SymbolModel:
    limit, start = reader.number("a model's largest symbol", 0, most), reader.at
    if limit == 0:
        return CONSTANT
    code = int.from_bytes(reader.take(2, "a model's decay"), "little")
    decay = float(np.uint32((code & 0x7FFF) << 16).view(np.float32))
    if not 0 < decay < 1:
        reader.fail(f"a model's decay must be above 0 and below 1, got {decay}", start)
    return SymbolModel(FAMILIES[code >> 15], decay, limit)
