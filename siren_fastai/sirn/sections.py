"""The small sections of a `.sirn` file: the image's grid and sizes, the labels, the denoiser."""

import struct

from siren_fastai.coords import GRIDS
from siren_fastai.label_maps import MAX_LABELS, decode_labels, encode_labels
from siren_fastai.names import DENOISERS
from siren_fastai.sirn.contents import OMEGA, USES, Denoise, Encoded, Labels
from siren_fastai.sirn.denoise import check_denoise
from siren_fastai.sirn.reader import FormatError, Limits, Reader, varint

__all__ = ["read_denoise", "read_labels", "read_picture", "write_denoise", "write_labels", "write_picture"]

GRID, OMEGAS, MEAN, CHANNELS = 3, 4, 8, 48  # bits of the picture's first byte


def write_picture(encoded: Encoded) -> bytes:
    """Payload of the section "picture"."""
    omegas = (encoded.omega_0, encoded.hidden_omega_0)
    channels = {1: 0, 3: 1}.get(encoded.channels, 2)
    flags = GRIDS.index(encoded.grid) | channels << 4
    flags |= (OMEGAS if omegas != (30.0, 30.0) else 0) | (MEAN if encoded.mean is not None else 0)
    out = bytes([flags]) + varint(encoded.height) + varint(encoded.width)
    out += varint(encoded.channels) if channels == 2 else b""
    out += struct.pack("<2f", *omegas) if flags & OMEGAS else b""
    return out + (struct.pack(f"<{encoded.channels}f", *encoded.mean) if flags & MEAN else b"")


def read_picture(reader: Reader, limits: Limits) -> dict:
    """The fields of `Encoded` that the section "picture" holds."""
    start, flags = reader.at, reader.byte("the picture's flags")
    if flags >> 6 or flags & GRID == 3 or flags & CHANNELS == CHANNELS:
        reader.fail(f"the picture's flags cannot be {flags:#04x}", start)
    height, width = (reader.number(f"the picture's {side}", 1, limits.pixels) for side in ("height", "width"))
    most = min(limits.width, 4 * limits.pixels // (height * width))
    if height * width > limits.pixels:
        reader.fail(f"{height} x {width} pixels are more than the limit {limits.pixels}", start)
    coded = (flags & CHANNELS) >> 4
    channels = reader.number("the number of channels", 1, most) if coded == 2 else (1, 3)[coded]
    if coded == 2 and channels in (1, 3):
        reader.fail(f"{channels} channels have a flag of their own", start)
    omegas = reader.floats(2, "omega_0") if flags & OMEGAS else (30.0, 30.0)
    if not all(OMEGA[0] <= omega_0 <= OMEGA[1] for omega_0 in omegas):
        reader.fail(f"omega_0 must be from {OMEGA[0]:g} to {OMEGA[1]:g}, got {omegas}", reader.at - 8)
    mean = reader.floats(channels, "the mean colour") if flags & MEAN else None
    reader.end("the section of the picture")
    found = {"height": height, "width": width, "channels": channels, "grid": GRIDS[flags & GRID], "mean": mean}
    return found | {"omega_0": omegas[0], "hidden_omega_0": omegas[1]}


def write_labels(encoded: Encoded) -> bytes:
    """Payload of the section "labels"; in its first byte the use, and 4 unless the map has the picture's size."""
    labels = encoded.labels
    own = labels.map.shape != (encoded.height, encoded.width)
    head = bytes([USES.index(labels.use) | own << 2]) + varint(labels.k)
    size = b"".join(map(varint, labels.map.shape)) if own else b""
    return head + size + encode_labels(labels.map, labels.k)


def read_labels(reader: Reader, picture: dict, limits: Limits) -> Labels:
    """What the section "labels" of this picture holds."""
    start, flags = reader.at, reader.byte("the labels' flags")
    if flags >> 3 or flags & 3 >= len(USES):
        reader.fail(f"the labels' flags cannot be {flags:#04x}", start)
    use = USES[flags & 3]
    k = reader.number("the number of labels", 1, min(MAX_LABELS, limits.networks))
    size = picture["height"], picture["width"]
    if flags & 4:
        sides = zip(("height", "width"), size, strict=True)
        size = tuple(reader.number(f"the label map's {side}", 1, most) for side, most in sides)
    cells = size[0] * size[1]
    if cells > limits.cells or cells * k > 4 * limits.cells:
        reader.fail(f"a map of {size[0]} x {size[1]} cells and {k} labels is beyond the limit {limits.cells}", start)
    start = reader.at
    try:
        return Labels(decode_labels(reader.take(reader.left, "labels"), size, k), k, use)
    except ValueError as error:
        raise FormatError(f"byte {start}: {error}") from None


def write_denoise(noise: Denoise) -> bytes:
    """Payload of the section "denoise"."""
    return bytes([DENOISERS.index(noise.method)]) + struct.pack("<f", noise.strength)


def read_denoise(reader: Reader) -> Denoise:
    """What the section "denoise" holds."""
    start, method = reader.at, reader.byte("the denoiser's method")
    (strength,) = reader.floats(1, "the denoiser's strength")
    reader.end("the section of the denoiser")
    try:
        check_denoise(DENOISERS[method] if method < len(DENOISERS) else method, strength)
    except ValueError as error:
        reader.fail(str(error), start)
    return Denoise(DENOISERS[method], strength)
