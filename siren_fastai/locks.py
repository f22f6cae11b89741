"""One process at a time in a folder."""

import errno
import os
import warnings
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["LOCK", "lock_folder"]

LOCK = ".siren_fastai_lock"  # the file that is locked; it stays, as removing it would let two processes in
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


def lock_folder(
    folder: str | os.PathLike,  # an existing folder
    wait: bool = False,  # until another process releases it, instead of raising an error
) -> FileLock:
    """Lock `folder` until `release()` of the result, the end of its `with` block, or the end of the process.

    The lock is the operating system's, so that a killed process leaves none behind. A file system without locks gets a
    warning and no lock.
    Raises: BlockingIOError if another process, or this one, holds the lock, and there is no `wait`; OSError if the
    folder cannot be written.
    """
    lock = FileLock(Path(folder, LOCK), thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        raise BlockingIOError(f"another process is writing to {folder}; wait for its end, or choose another") from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warnings.warn(f"{folder} is on a file system without locks: start nothing else there", stacklevel=2)
    return lock
