"""Writing files: whole or not at all, and JSON that every reader accepts."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["replacing", "strict_json", "write_json"]


@contextmanager
def replacing(
    path: str | os.PathLike,  # the file to write; missing folders are created
) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, with its suffix, that replaces `path` when the block succeeds.

    A crash or an exception leaves an older file as it was; after an exception the temporary file is removed too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(
    value: Any,  # as for `strict_json`
    path: str | os.PathLike,  # the file to write; an older one is replaced whole
) -> Path:
    """Write `strict_json` of `value` and a line feed to `path`, and return the path."""
    text = strict_json(value)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def strict_json(
    value: Any,  # dicts, lists, tuples, numbers, strings, None; also arrays and tensors, which become lists
) -> str:
    """Return `value` as strict JSON text, which has no number for infinity or NaN.

    They become the strings "inf", "-inf" and "nan", which `float` and pandas read back; None is null.
    Raises: TypeError for values of other types.
    """
    return json.dumps(_plain(value), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """`value` as Python's own types, with a string for each number that JSON lacks."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, torch's tensors
        return _plain(value.tolist())
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
