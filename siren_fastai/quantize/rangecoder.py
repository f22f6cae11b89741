"""The range coder of `constriction`, and its words as bytes.

Source: Martin 1979, "Range encoding"; Bamler 2022, arXiv:2201.01741, for the package.
"""

import constriction
import numpy as np

__all__ = ["Categorical", "RangeDecoder", "RangeEncoder", "check_same", "decode", "to_bytes", "to_words"]

Categorical = constriction.stream.model.Categorical  # the package's submodules cannot be imported by name
RangeDecoder, RangeEncoder = constriction.stream.queue.RangeDecoder, constriction.stream.queue.RangeEncoder


def decode(decoder: RangeDecoder, model: Categorical, how: int | np.ndarray) -> np.ndarray:
    """The next symbols: as many as `how` says, or one for each of its rows of probabilities.

    Raises: ValueError for words that no message has, where constriction raises AssertionError.
    """
    try:
        return decoder.decode(model, how)
    except AssertionError as error:
        raise ValueError(f"the entropy-coded stream is corrupted: {error}") from None


def to_bytes(encoder: RangeEncoder) -> bytes:
    """What was encoded: little-endian 32-bit words, none for no information."""
    return encoder.get_compressed().astype("<u4").tobytes()


def to_words(data: bytes) -> np.ndarray:
    """The words that a `RangeDecoder` reads. Raises: ValueError for bytes that are not whole words."""
    if len(data) % 4:
        raise ValueError(f"an entropy-coded stream has whole words of 4 bytes, got {len(data)} bytes: it is truncated")
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def check_same(data: bytes, encoder: RangeEncoder) -> None:
    """Raise ValueError unless `encoder`, given what was decoded, makes `data` again.

    A range decoder may stop before the end of its data or read past it: only encoding again proves the data.
    """
    if to_bytes(encoder) != bytes(data):
        raise ValueError(f"the entropy-coded stream of {len(data)} bytes is truncated, too long, or corrupted")
