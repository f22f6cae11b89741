"""Entropy coding of quantised weights: how often each symbol is expected, and the stream that they make.

Every table of frequencies is made here of integers: constriction's `Categorical(perfect=False)` multiplies them by
1, adds them up and gives each symbol one more (its source: cumulative float * scale, truncated, plus the index; the
scale is 2**24 minus the number of symbols, over the sum). All of that is exact, so every machine codes
alike. A symbol of frequency f takes 24 - log2(f) bits.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from siren_fastai.quantize.rangecoder import (
    Categorical,
    RangeDecoder,
    RangeEncoder,
    check_same,
    decode,
    to_bytes,
    to_words,
)

__all__ = ["FAMILIES", "SymbolModel", "code_length", "decode_symbols", "encode_symbols", "fit_model"]

FAMILIES = ("laplace", "gauss")
MAX_LIMIT = 511
PRECISION = 24  # bits of a frequency
DECAYS = np.arange(0x3380, 0x3F80, dtype=np.uint32)  # the upper 16 bits of the float32 values from 2**-24 to below 1


@dataclass(frozen=True)
class SymbolModel:
    """How often each symbol from -limit to limit is expected.

    In proportion to (1 - decay)**|i| ("laplace") or (1 - decay)**(i * i) ("gauss"), by float64 multiplications alone.
    Raises: ValueError for another family, a `decay` that isn't a bfloat16 value in (0, 1), or a `limit` not in 0..511.
    """

    family: str
    decay: float
    limit: int

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise ValueError(f"`family` must be one of {FAMILIES}, got {self.family!r}")
        if not (0 < self.decay < 1) or np.float32(self.decay) != self.decay or _float_bits(self.decay) & 0xFFFF:
            raise ValueError(f"`decay` must be a bfloat16 value above 0 and below 1, got {self.decay!r}")
        if isinstance(self.limit, bool) or not 0 <= operator.index(self.limit) <= MAX_LIMIT:
            raise ValueError(f"`limit` must be from 0 to {MAX_LIMIT}, got {self.limit!r}")

    def frequencies(self) -> np.ndarray:
        """The frequencies of -limit..limit: integers of at least 1 that sum to 2**24. Shapes: (2 * limit + 1,)."""
        return _frequencies(self.family, self.decay, self.limit)


@lru_cache(maxsize=256)
def _frequencies(family: str, decay: float, limit: int) -> np.ndarray:
    """Powers by repeated multiplication; shares of 2**24 - n rounded down; 1 for each; the rest to symbol 0."""
    side = _powers(np.array([decay]), limit)[FAMILIES.index(family), 0]
    powers = np.concatenate([side[:0:-1], side])
    total = np.cumsum(powers)[-1]  # in order, whatever the machine
    free = (1 << PRECISION) - len(powers)
    frequencies = np.floor(powers / total * free).astype(np.int64) + 1
    frequencies[limit] += (1 << PRECISION) - frequencies.sum()
    frequencies.setflags(write=False)
    return frequencies


def _powers(decays: np.ndarray, limit: int) -> np.ndarray:
    """(1 - decay)**i and (1 - decay)**(i * i) for i = 0..limit. Shapes: (m,) -> (2, m, limit + 1)."""
    ratios = np.repeat(1.0 - decays[:, None], limit + 1, axis=1)
    ratios[:, 0] = 1.0
    laplace = np.multiply.accumulate(ratios, axis=1)
    odd = laplace.copy()  # i * i is the sum of the odd numbers 2i - 1, and r**(2i - 1) = r**i * r**(i - 1)
    odd[:, 1:] *= laplace[:, :-1]
    return np.stack([laplace, np.multiply.accumulate(odd, axis=1)])


def fit_model(symbols: Tensor | np.ndarray) -> SymbolModel:
    """The model of least code length for `symbols`, among both families and every bfloat16 decay of at least 2**-24.

    Shapes: integers in -511..511, of any shape but empty.
    """
    symbols = _checked_symbols(symbols)
    if not symbols.size:
        raise ValueError("`symbols` must not be empty")
    sizes = np.bincount(np.abs(symbols))
    limit = len(sizes) - 1
    if limit == 0:
        return SymbolModel(FAMILIES[0], 0.5, 0)
    best = []
    for family in range(len(FAMILIES)):
        coarse = DECAYS[::32]
        near = coarse[_lengths(coarse, sizes, family).argmin()]
        fine = DECAYS[(DECAYS > near - 32) & (DECAYS < near + 32)] if near > DECAYS[0] else DECAYS[:32]
        lengths = _lengths(fine, sizes, family)
        best.append((lengths.min(), family, fine[lengths.argmin()]))
    _, family, decay = min(best)
    return SymbolModel(FAMILIES[family], float(_decays(np.array([decay]))[0]), limit)


def _lengths(decays: np.ndarray, sizes: np.ndarray, family: int) -> np.ndarray:
    """Bits for `sizes[i]` symbols of size i, in real numbers. Shapes: (m,), (limit + 1,) -> (m,)."""
    powers = _powers(_decays(decays), len(sizes) - 1)[family]
    totals = 2 * powers.sum(1, keepdims=True) - 1
    shares = powers / totals + 2.0**-PRECISION
    return -(np.log2(shares) * sizes).sum(1)


def _decays(codes: np.ndarray) -> np.ndarray:
    return (codes << 16).astype(np.uint32).view(np.float32).astype(np.float64)


def _float_bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def code_length(symbols: Tensor | np.ndarray, model: SymbolModel) -> float:
    """The bits that `symbols` take in a stream of `encode_symbols`; a whole stream adds at most 64.

    Raises: ValueError for symbols beyond `model.limit`.
    """
    indices = _checked_symbols(symbols, model.limit) + model.limit
    return float((PRECISION - np.log2(model.frequencies()))[indices].sum())


def encode_symbols(parts: Sequence[tuple[Tensor | np.ndarray, SymbolModel]]) -> bytes:
    """One stream of all the parts' symbols, in order: little-endian 32-bit words, none for no information.

    Raises: ValueError for symbols beyond their model's limit; TypeError for symbols that are not integers.
    """
    encoder = RangeEncoder()
    for symbols, model in parts:
        indices = _checked_symbols(symbols, model.limit) + np.int32(model.limit)
        if model.limit and indices.size:
            encoder.encode(indices, _categorical(model.frequencies()))
    return to_bytes(encoder)


def decode_symbols(data: bytes, parts: Sequence[tuple[int, SymbolModel]]) -> list[np.ndarray]:
    """The symbols of each (count, model): int32 arrays of that many, the inverse of `encode_symbols`.

    Memory and time are those of the counts asked for: check these first.
    Raises: ValueError for bytes that `encode_symbols` does not make of such parts.
    """
    decoder, encoder, decoded = RangeDecoder(to_words(data)), RangeEncoder(), []
    for count, model in parts:
        indices = np.full(count, model.limit, np.int32)
        if model.limit and count:
            categorical = _categorical(model.frequencies())
            indices = decode(decoder, categorical, count)
            encoder.encode(indices, categorical)
        decoded.append(indices - np.int32(model.limit))
    check_same(data, encoder)
    return decoded


def _categorical(frequencies: np.ndarray) -> Categorical:
    return Categorical((frequencies - 1).astype(np.float64), perfect=False)


def _checked_symbols(symbols: Tensor | np.ndarray, limit: int = MAX_LIMIT) -> np.ndarray:
    array = symbols.detach().cpu().numpy() if isinstance(symbols, Tensor) else np.asarray(symbols)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`symbols` must be integers, got {array.dtype}")
    if array.size and not -limit <= array.min() <= array.max() <= limit:
        raise ValueError(f"`symbols` must be from {-limit} to {limit}, got {array.min()} to {array.max()}")
    return array.reshape(-1).astype(np.int32)
