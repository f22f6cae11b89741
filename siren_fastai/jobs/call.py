"""One call, where it is done: with its own number of threads, and with a report in place of an exception."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Call", "Failure", "attempt", "failure_of", "lost"]

Call = tuple[Hashable, tuple]  # the key that its outcome comes with, and the arguments
WATCHER, WATCH_S = "siren_fastai: parent process", 1.0
ALONE = threading.RLock()  # calls in one process wait for each other: they share its random generators


@dataclass(frozen=True)
class Failure:
    """What became of a call that has no result."""

    message: str  # one line, such as "ValueError: no network is small enough"
    traceback: str  # or the message again, where there is none


def attempt(
    function: Callable,
    key: Hashable,
    arguments: tuple,
    threads: int | None,  # of torch during the call; None leaves them
    parent: int | None = None,  # the process that this one was started by, and ends with
) -> tuple[Hashable, Any | Failure]:
    """Return the key, and `function(*arguments)` or the `Failure` if that raises an exception."""
    if parent is not None:
        _belong_to(parent)
    with ALONE, _torch_threads(threads):
        try:
            return key, function(*arguments)
        except Exception as error:
            return key, failure_of(error)


def failure_of(
    error: Exception,
) -> Failure:
    """Return the report of an exception."""
    message = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure(message, "".join(traceback.format_exception(error)))


def lost(
    key: Hashable,
) -> tuple[Hashable, Failure]:
    """The outcome of a call whose process was killed."""
    text = "the process that ran it was killed, or ended itself: it may have needed more memory than there is"
    return key, Failure(text, text)


def _belong_to(parent: int) -> None:
    """Leave Ctrl-C to `parent`, which ends this process, and end when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not any(thread.name == WATCHER for thread in threading.enumerate()):
        threading.Thread(target=_end_after, args=(parent,), name=WATCHER, daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
