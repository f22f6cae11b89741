"""Reading bytes that cannot be trusted: every length is compared with what is left before anything is taken.

Varints are LEB128: seven bits a byte, the lowest first, the top bit set on all but the last byte.
"""

import struct
from dataclasses import dataclass

__all__ = ["TRUSTED", "FormatError", "Limits", "Reader", "varint"]

VARINT_BYTES = 5  # no number of the format needs more than 35 bits


class FormatError(ValueError):
    """Bytes that aren't a `.sirn` file, or a damaged or refused one."""


@dataclass(frozen=True)
class Limits:
    """The most that a file may ask of its reader; a file that asks for more is refused before memory is taken.

    pixels: height * width, and a quarter of height * width * channels. parameters: of all networks together.
    layers and width: of one network. networks: one per cluster. cells: of the label map, and a quarter of
    cells * labels. work: nanoseconds of decoding, as `sirn.work.decoding_work` estimates them. size: bytes of the
    file.
    """

    pixels: int = 1 << 26
    parameters: int = 1 << 22
    layers: int = 64
    networks: int = 256
    width: int = 4096
    cells: int = 1 << 16
    work: float = 1_500_000_000
    size: int = 1 << 24


TRUSTED = Limits(work=float("inf"))  # for a file that this process has made itself


class Reader:
    """A cursor over `data[start:stop]` that raises FormatError, naming the byte, rather than read past its end."""

    def __init__(self, data: bytes, start: int = 0, stop: int | None = None):
        self.data, self.at, self.stop = data, start, len(data) if stop is None else stop

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self.stop - self.at

    def fail(self, message: str, at: int | None = None) -> None:
        """Raise the FormatError of something wrong at byte `at` (default: the next one)."""
        raise FormatError(f"byte {self.at if at is None else at}: {message}")

    def take(self, n: int, what: str) -> bytes:
        """The next `n` bytes."""
        if n > self.left:
            self.fail(f"{what} needs {n} bytes, but {self.left} are left")
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self, what: str) -> int:
        """One byte as a number."""
        return self.take(1, what)[0]

    def number(self, what: str, low: int, high: int) -> int:
        """A varint, from `low` to `high`."""
        start, value = self.at, 0
        for shift in range(0, 7 * VARINT_BYTES, 7):
            byte = self.byte(what)
            value |= (byte & 127) << shift
            if byte < 128:
                break
        else:
            self.fail(f"{what} is a varint of more than {VARINT_BYTES} bytes", start)
        if byte == 0 and self.at > start + 1:
            self.fail(f"{what} is a varint with a needless last byte", start)
        if not low <= value <= high:
            self.fail(f"{what} must be from {low} to {high}, got {value}", start)
        return value

    def floats(self, n: int, what: str) -> tuple[float, ...]:
        """Float32 numbers, all finite."""
        start = self.at
        values = struct.unpack(f"<{n}f", self.take(4 * n, what))
        if not all(abs(value) < float("inf") for value in values):
            self.fail(f"{what} must be finite, got {values}", start)
        return values

    def section(self) -> tuple[int, "Reader"]:
        """The next section: its tag and a reader of its payload."""
        tag, start = self.byte("a section's tag"), self.at
        length = self.number("a section's length", 0, 1 << 34)
        if length > self.left:
            self.fail(f"section {tag} claims {length} bytes, but {self.left} are left", start)
        self.at += length
        return tag, Reader(self.data, self.at - length, self.at)

    def end(self, what: str) -> None:
        """Nothing may be left."""
        if self.left:
            self.fail(f"{self.left} bytes too many in {what}")


def varint(value: int) -> bytes:
    """An integer of 0 or more as LEB128, in as few bytes as possible."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
