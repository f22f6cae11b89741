"""A decoder of `.sirn` files written from docs/format.md alone: numpy and integers, nothing of the library.

It believes its input: it shows that the document is complete, and what a file means, not how to read hostile ones.
"""

import struct
import zlib

import numpy as np

PRECISION, WORD = 24, 1 << 32


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def array(self, dtype, n):
        return np.frombuffer(self.take(n * np.dtype(dtype).itemsize), dtype)


class RangeDecoder:
    """Section "The range coder" of the document."""

    def __init__(self, data):
        self.words = [int(word) for word in np.frombuffer(data, "<u4")]
        self.lower, self.range = 0, (1 << 64) - 1
        self.point = self.next_word() * WORD + self.next_word()

    def next_word(self):
        return self.words.pop(0) if self.words else 0

    def symbol(self, starts):
        """`starts`: the first of each symbol's numbers below 2**24, and 2**24 in the end."""
        scale = self.range >> PRECISION
        quantile = ((self.point - self.lower) % (1 << 64)) // scale
        index = int(np.searchsorted(starts, quantile, side="right")) - 1
        self.lower = (self.lower + scale * int(starts[index])) % (1 << 64)
        self.range = scale * int(starts[index + 1] - starts[index])
        if self.range < WORD:
            self.lower = self.lower * WORD % (1 << 64)
            self.range *= WORD
            self.point = (self.point * WORD + self.next_word()) % (1 << 64)
        return index


def symbol_starts(gauss, decay, limit):
    """Section "Symbol models"."""
    ratio, powers = 1.0 - decay, [1.0]
    laplace = [1.0]
    for i in range(1, limit + 1):
        laplace.append(laplace[-1] * ratio)
        powers.append(powers[-1] * (laplace[i] * laplace[i - 1]) if gauss else laplace[i])
    powers = powers[:0:-1] + powers
    total = 0.0
    for power in powers:
        total += power
    free = (1 << PRECISION) - len(powers)
    frequencies = [int(power / total * free) + 1 for power in powers]
    frequencies[limit] += (1 << PRECISION) - sum(frequencies)
    return np.concatenate([[0], np.cumsum(frequencies)])


def weight_starts(weights):
    """Section "Labels": the starts of labels from their weights, in float64."""
    total = 0.0
    for weight in weights:
        total += weight
    scale = float((1 << PRECISION) - len(weights)) / total
    starts, sum_before = [], 0.0
    for i, weight in enumerate(weights):
        starts.append(int(sum_before * scale) + i)
        sum_before += weight
    return np.array([*starts, 1 << PRECISION])


def neighbours(labels, y, x):
    """Left, above, above left, above right; outside the map what is nearest above, else to the left, else 0."""
    before = int(labels[y, x - 1]) if x else None
    if y == 0:
        return (before or 0,) * 4
    upper = int(labels[y - 1, x])
    left = before if x else upper
    corner = int(labels[y - 1, x - 1]) if x else upper
    right = int(labels[y - 1, x + 1]) if x + 1 < labels.shape[1] else upper
    return left, upper, corner, right


def decode_labels(data, height, width, k):
    decoder, pairs, fours = RangeDecoder(data), {}, {}
    labels = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width if k > 1 else 0):
            four = neighbours(labels, y, x)
            if four[:2] not in pairs:
                pairs[four[:2]] = [1.0 + 8.0 * (i == four[0]) + 8.0 * (i == four[1]) for i in range(k)]
            pair = pairs[four[:2]]
            if four not in fours:
                total = 0.0
                for count in pair:
                    total += count
                fours[four] = [count / total * 8.0 for count in pair]
            label = labels[y, x] = decoder.symbol(weight_starts(fours[four]))
            for counts in (pair, fours[four]):
                counts[label] += 2.0
                if counts[label] > 1024.0:
                    counts[:] = [count / 2 for count in counts]
    return labels


def upper_half(code):
    """A bfloat16 from its 16 bits."""
    return float(np.array([code << 16], np.uint32).view(np.float32)[0])


def read_picture(part):
    flags = part.take(1)[0]
    picture = {"height": part.varint(), "width": part.varint(), "grid": ("centers", "corners", "left")[flags & 3]}
    channels = (1, 3, None)[flags >> 4 & 3] or part.varint()
    picture["omegas"] = part.array("<f4", 2).astype(float) if flags & 4 else (30.0, 30.0)
    picture["mean"] = part.array("<f4", channels).astype(float) if flags & 8 else 0.0
    return picture | {"channels": channels}


def read_labels(part, picture):
    flags, k = part.take(1)[0], part.varint()
    size = (part.varint(), part.varint()) if flags & 4 else (picture["height"], picture["width"])
    return ("network", "feature", "scalar")[flags & 3], k, decode_labels(part.take(1 << 30), *size, k)


def read_networks(part, symbols, n, inputs, channels):
    networks, models, hidden = [], {}, None
    for _ in range(n):
        code = part.varint()
        if code:
            count, equal = divmod(code - 1, 2)
            hidden = [part.varint()] * count if equal else [part.varint() for _ in range(count)]
        dims = [inputs, *hidden, channels]
        shapes = [s for a, b in zip(dims[:-1], dims[1:], strict=True) for s in ((b, a), (b,))]
        networks.append([read_tensor(part, symbols, shape, models) for shape in shapes])
    return networks


def read_tensor(part, symbols, shape, models):
    flags, count = part.take(1)[0], int(np.prod(shape))
    if flags == 0:
        return part.array("<f2", count).astype(float).reshape(shape)
    steps = np.array([upper_half(int(code)) for code in part.array("<u2", shape[0] if flags & 16 else 1)])
    if not flags & 32:
        limit, code = part.varint(), 0
        if limit:
            code = int(part.array("<u2", 1)[0])
        models[len(shape)] = limit, limit and symbol_starts(code >> 15, upper_half(code & 0x7FFF), limit)
    limit, starts = models[len(shape)]
    values = np.array([symbols.symbol(starts) - limit if limit else 0 for _ in range(count)], float).reshape(shape)
    return values * (steps[:, None] if flags & 16 else steps)


def axis(n, grid):
    i = np.arange(n)
    if grid == "corners":
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return (2 * i + 1) / n - 1 if grid == "centers" else 2 * i / n - 1


def siren(tensors, omegas, inputs):
    values, layers = inputs, list(zip(tensors[::2], tensors[1::2], strict=True))
    for i, (weight, bias) in enumerate(layers):
        values = values @ weight.T + bias
        if i < len(layers) - 1:
            values = np.sin((omegas[0] if i == 0 else omegas[1]) * values)
    return values


def values_of(networks, picture, labels):
    """The networks' values at every position, in raster order."""
    y, x = axis(picture["height"], picture["grid"]), axis(picture["width"], picture["grid"])
    positions = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    if labels is None:
        return siren(networks[0], picture["omegas"], positions)
    use, k, table = labels
    single = (positions.astype(np.float32) + np.float32(1)) / np.float32(2) * np.array(table.shape, np.float32)
    cells = np.floor(single).astype(int).clip(0, np.array(table.shape) - 1)
    here = table[cells[:, 0], cells[:, 1]]
    if use == "network":
        every = np.stack([siren(network, picture["omegas"], positions) for network in networks])
        return every[here, np.arange(len(here))]
    features = np.zeros((len(here), 0)) if k == 1 else np.eye(k)[here] if use == "feature" else here[:, None] / (k - 1)
    return siren(networks[0], picture["omegas"], np.concatenate([positions, features], axis=1))


def decode(data):
    """The picture before a denoiser, (h, w, c) float64 in [0, 1], and the denoiser's (number, strength) or None."""
    assert data[:5] == b"\x89SRN\x01" and struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
    body, sections = Bytes(data[5:-4]), {}
    while body.at < len(body.data):
        tag = body.take(1)[0]
        sections[tag] = Bytes(body.take(body.varint()))
    picture = read_picture(sections[1])
    labels = read_labels(sections[2], picture) if 2 in sections else None
    inputs, n = 2, 1
    if labels and labels[1] > 1:
        inputs += {"network": 0, "feature": labels[1], "scalar": 1}[labels[0]]
    if labels and labels[0] == "network":
        n = labels[1]
    symbols = RangeDecoder(sections[5].data if 5 in sections else b"")
    networks = read_networks(sections[4], symbols, n, inputs, picture["channels"])
    values = values_of(networks, picture, labels) + picture["mean"]
    image = values.clip(0, 1).reshape(picture["height"], picture["width"], picture["channels"])
    return image, struct.unpack("<Bf", sections[3].data) if 3 in sections else None
