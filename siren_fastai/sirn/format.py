"""The `.sirn` file, version 1: magic, version, sections, checksum. `docs/format.md` describes every byte.

A file is small above all: defaults take a bit, nothing is stored that follows from the rest. Reading trusts nothing:
the checksum is compared first, and each number with what is left of the file and with `Limits`, before memory is taken.
"""

import struct
import zlib

import numpy as np

from siren_fastai.quantize.entropy import decode_symbols, encode_symbols
from siren_fastai.sirn.contents import CodedTensor, Denoise, Encoded, Labels, Network
from siren_fastai.sirn.networks import Head, read_networks, write_networks
from siren_fastai.sirn.reader import FormatError, Limits, Reader, varint
from siren_fastai.sirn.sections import (
    read_denoise,
    read_labels,
    read_picture,
    write_denoise,
    write_labels,
    write_picture,
)
from siren_fastai.sirn.work import decoding_work

__all__ = [
    "CodedTensor",
    "Denoise",
    "Encoded",
    "FormatError",
    "Labels",
    "Limits",
    "Network",
    "parts",
    "read",
    "write",
]

MAGIC, VERSION = b"\x89SRN", 1
PICTURE, LABELS, DENOISE, NETWORKS, SYMBOLS = range(1, 6)  # tags, in the order of the sections
NAMES = {PICTURE: "picture", LABELS: "labels", DENOISE: "denoise", NETWORKS: "networks", SYMBOLS: "symbols"}
FEW_PARAMETERS, PER_BYTE = 1 << 12, 64  # a file of n bytes has at most 4096 + 64 n parameters
CRC_BYTES = 4


def write(encoded: Encoded) -> bytes:
    """The file's bytes. Raises: ValueError for a network of zeros so large that no reader would believe it."""
    networks, stream = write_networks(encoded.networks)
    sections = {PICTURE: write_picture(encoded), NETWORKS: networks, SYMBOLS: encode_symbols(stream)}
    if encoded.labels is not None:
        sections[LABELS] = write_labels(encoded)
    if encoded.denoise is not None:
        sections[DENOISE] = write_denoise(encoded.denoise)
    present = [(tag, payload) for tag, payload in sorted(sections.items()) if payload]
    body = MAGIC + bytes([VERSION]) + b"".join(bytes([t]) + varint(len(p)) + p for t, p in present)
    parameters, size = sum(Network.count(network.dims) for network in encoded.networks), len(body) + CRC_BYTES
    if parameters > _most_parameters(size):
        raise ValueError(f"{parameters} parameters in {size} bytes are nearly all 0: make the network smaller")
    return body + struct.pack("<I", zlib.crc32(body))


def read(data: bytes, limits: Limits | None = None) -> Encoded:
    """What the bytes of a file say.

    Raises: FormatError, a ValueError, for bytes that are foreign, of another version, truncated, damaged, impossible,
    or that ask for more than `limits` (default: `Limits()`).
    """
    data, limits = bytes(data), limits or Limits()
    sections = _sections(data, limits)
    return _interpret(data, sections, limits)[0]


def parts(data: bytes, limits: Limits | None = None) -> list[tuple[str, int, str]]:
    """Where the bytes of a file go: (name, bytes, what is there), from first to last; the bytes sum to the file's.

    Raises: FormatError as `read`.
    """
    data, limits = bytes(data), limits or Limits()
    sections = _sections(data, limits)
    encoded, heads = _interpret(data, sections, limits)
    rows = [("magic and version", len(MAGIC) + 1, f"version {VERSION}")]
    for tag, (start, reader) in sections.items():
        size = reader.stop - start
        if tag == NETWORKS:
            steps, models = sum(h.step_bytes for h in heads), sum(h.model_bytes for h in heads)
            halves = sum(2 * h.count for h in heads if h.model is None)
            rows += [
                ("networks", size - steps - models - halves, _tell_networks(encoded)),
                ("steps", steps, "bfloat16 steps of the quantisers"),
                ("models", models, "symbol models"),
                ("halves", halves, "half-precision parameters"),
            ]
        else:
            rows.append((NAMES[tag], size, _tell(tag, encoded, heads)))
    rows.append(("checksum", CRC_BYTES, f"CRC-32 {zlib.crc32(data[:-CRC_BYTES]):08x}"))
    return [row for row in rows if row[1]]


def _sections(data: bytes, limits: Limits) -> dict[int, tuple[int, Reader]]:
    """Magic, version, size and checksum compared; then by tag where each section starts, and its payload's reader."""
    if data[:4] != MAGIC:
        raise FormatError(f"byte 0: expected a .sirn file, which begins with {MAGIC!r}, got {data[:4]!r}")
    if len(data) < len(MAGIC) + 1 + CRC_BYTES:
        raise FormatError(f"byte {len(data)}: the file is truncated")
    if data[4] != VERSION:
        raise FormatError(f"byte 4: file version {data[4]}, this library reads {VERSION}")
    if len(data) > limits.size:
        raise FormatError(f"byte {limits.size}: the file has {len(data)} bytes, more than the limit {limits.size}")
    if struct.unpack("<I", data[-CRC_BYTES:])[0] != zlib.crc32(data[:-CRC_BYTES]):
        raise FormatError(f"byte {len(data) - CRC_BYTES}: the checksum does not match: the file is damaged or cut off")
    reader, found = Reader(data, len(MAGIC) + 1, len(data) - CRC_BYTES), {}
    while reader.left:
        start = reader.at
        tag, payload = reader.section()
        if tag not in NAMES or tag <= max(found, default=0):
            reader.fail(f"section {tag} is unknown to version {VERSION}, or out of order", start)
        found[tag] = (start, payload)
    for tag in (PICTURE, NETWORKS):
        if tag not in found:
            reader.fail(f"the section {NAMES[tag]!r} is missing")
    return found


def _interpret(data: bytes, sections: dict[int, tuple[int, Reader]], limits: Limits) -> tuple[Encoded, list[Head]]:
    readers = {tag: Reader(r.data, r.at, r.stop) for tag, (_, r) in sections.items()}
    picture = read_picture(readers[PICTURE], limits)
    labels = read_labels(readers[LABELS], picture, limits) if LABELS in readers else None
    noise = read_denoise(readers[DENOISE]) if DENOISE in readers else None
    n_networks = labels.k if labels and labels.use == "network" else 1
    inputs = 2 + (Labels.features(labels.k, labels.use) if labels else 0)
    reader, most = readers[NETWORKS], min(limits.parameters, _most_parameters(len(data)))
    described = read_networks(reader, n_networks, inputs, picture["channels"], limits, most)
    _check_work(reader, picture, [dims for dims, _ in described], noise, limits)
    heads = [head for _, tensors in described for head in tensors]
    symbols = iter(_read_symbols(readers.get(SYMBOLS, Reader(b"")), heads))
    networks = [
        Network(dims, [head.tensor(None if head.model is None else next(symbols)) for head in tensors])
        for dims, tensors in described
    ]
    return Encoded(**picture, networks=networks, labels=labels, denoise=noise), heads


def _check_work(reader: Reader, picture: dict, dims: list[list[int]], noise: Denoise | None, limits: Limits) -> None:
    """Reject an image that takes longer to decode than the limit."""
    sizes = (picture["height"], picture["width"], picture["channels"])
    work = decoding_work(*sizes, dims, noise and (noise.method, noise.strength))
    if work > limits.work:
        reader.fail(
            f"{' x '.join(map(str, sizes))} values would take about {work / 1e9:.3g} s of one core to decode, and the "
            f"limit is {limits.work / 1e9:.3g} s: raise it if you trust the file (`Limits(work=...)`, --max_seconds)"
        )


def _read_symbols(reader: Reader, heads: list[Head]) -> list[np.ndarray]:
    start = reader.at
    wanted = [(head.count, head.model) for head in heads if head.model is not None]
    try:
        return decode_symbols(reader.take(reader.left, "symbols"), wanted)
    except ValueError as error:
        raise FormatError(f"byte {start}: {error}") from None


def _most_parameters(size: int) -> int:
    return FEW_PARAMETERS + PER_BYTE * size


def _tell(tag: int, encoded: Encoded, heads: list[Head]) -> str:
    if tag == PICTURE:
        mean = f", mean colour {', '.join(f'{x:.4g}' for x in encoded.mean)}" if encoded.mean else ""
        omega = f"omega_0 {encoded.omega_0:g} and {encoded.hidden_omega_0:g}"
        return f"{encoded.height} x {encoded.width} x {encoded.channels}, grid {encoded.grid}, {omega}{mean}"
    if tag == LABELS:
        return f"{' x '.join(map(str, encoded.labels.map.shape))} cells of {encoded.labels.k}, as {encoded.labels.use}"
    if tag == DENOISE:
        return f"{encoded.denoise.method}, strength {encoded.denoise.strength:.4g}"
    coded = [head for head in heads if head.model is not None]
    return f"{sum(head.count for head in coded)} parameters in {len(coded)} tensors"


def _tell_networks(encoded: Encoded) -> str:
    shapes = ["-".join(map(str, network.dims)) for network in encoded.networks]
    bits = [tensor.bits for network in encoded.networks for tensor in network.tensors]
    some = shapes[0] if len(set(shapes)) == 1 else f"{shapes[0]}, ..."
    return f"{len(shapes)} of widths {some}; {min(bits)} to {max(bits)} bits"
