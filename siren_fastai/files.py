"""Writing files: whole or not at all, and JSON that every reader accepts."""

import errno
import json
import math
import os
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from platform import node
from typing import Any

__all__ = ["check_writable", "persist", "replacing", "strict_json", "write_json"]

_HOST = f"{zlib.crc32(node().encode()):08x}"  # folders may be shared by machines


MARK = ".siren_fastai"  # begins the names of temporary files
STALE_SECONDS = 60.0  # an abandoned temporary file is removed after this long


@contextmanager
def replacing(
    path: str | os.PathLike,  # the file to write; missing folders are created
) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`, whose content becomes that of `path` when the block succeeds.

    The file is replaced whole: a crash or an exception leaves an older one as it was. What must not be replaced is
    written through: a symbolic link's target, a file with several hard links, a device, a FIFO. After an exception the
    temporary file is removed; one that a killed process left behind goes with the next write to its folder.
    Raises: OSError as `check_writable`.
    """
    target = check_writable(path)
    special = target.exists() and not target.is_file()
    folder = Path(tempfile.gettempdir()) if special else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    handle, name = tempfile.mkstemp(prefix=f"{MARK}-{_HOST}-{os.getpid()}-", suffix=target.suffix[:20], dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _put(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def persist(
    write: Callable[[], Any],  # writes files, each by `replacing`
) -> Any:
    """Return `write()`. If Ctrl-C ends it early, call it once more before the interruption goes on."""
    try:
        return write()
    except Exception:
        raise
    except BaseException:
        write()
        raise


def check_writable(
    path: str | os.PathLike,  # a file to write later; it need not exist
) -> Path:
    """Return the file that writing to `path` would write, a symbolic link's target for one; nothing is changed.

    A link such as /dev/stdout, whose target has no path of its own, comes back as it is.

    Raises: IsADirectoryError for a folder; PermissionError for a file that is marked read-only, for root too, or a
    folder that cannot be written to; OSError for a name that is too long or a symbolic link that leads nowhere.
    """
    target = Path(path)
    if target.is_symlink() and (not target.exists() or os.path.exists(os.path.realpath(target))):
        target = Path(os.path.realpath(target))
    try:
        found = target.stat()
    except FileNotFoundError:
        parent = next(p for p in target.absolute().parents if p.exists())
        if not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(parent)) from None
        found = None
    else:
        parent = target.parent
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "The file is read-only", str(path))
    if (found is None or stat.S_ISREG(found.st_mode)) and not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(parent))
    return target


def _put(temporary: Path, target: Path) -> None:
    """Give `target` the content of `temporary`."""
    found = target.stat() if target.exists() else None
    if found is None or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
        os.chmod(temporary, 0o666 & ~_umask() if found is None else stat.S_IMODE(found.st_mode))
        os.replace(temporary, target)
        return
    with open(temporary, "rb") as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink)


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes of this machine that have ended, once they are a minute old."""
    for path in folder.glob(f"{MARK}-{_HOST}-*"):
        process = path.name.removeprefix(f"{MARK}-{_HOST}-").partition("-")[0]
        with suppress(OSError):  # another process was faster, or the file is somebody else's
            if process.isdigit() and not _runs(int(process)) and time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, but is somebody else's
        return True
    return True


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
