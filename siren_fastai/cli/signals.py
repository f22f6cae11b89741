"""Ctrl-C, a request to end (SIGTERM) and a closed terminal (SIGHUP) end a command in the same way."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Stopped", "answering_signals"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PAUSE_S = 1.0  # signals that follow each other faster are one


class Stopped(BaseException):
    """The second signal. Nothing takes it for the first, after which a command finishes with what it has."""


@contextmanager
def answering_signals(
    message: str = "",  # printed at the first signal, if the command then finishes with what it has
    last: bool = False,  # whether the process ends with the block: after a signal further ones are then ignored
) -> Iterator[None]:
    """In the block, the first signal raises KeyboardInterrupt and the second `Stopped`.

    Those that follow within a second of that change nothing, so that the cleaning up is not disturbed. A signal that is
    ignored, as by nohup, stays so. Outside the main thread nothing changes.
    """
    received: list[float] = []

    def answer(number, frame):
        received.append(time.monotonic())
        if len(received) == 1:
            with suppress(OSError):  # the terminal may be gone
                os.write(2, f"\nsiren-fastai: {message}\n".encode() if message else b"")
            raise KeyboardInterrupt
        if len(received) == 2 or received[-1] - received[-2] > PAUSE_S:
            raise Stopped

    before = {} if threading.current_thread() is not threading.main_thread() else _handlers()
    for number in before:
        signal.signal(number, answer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last and received else handler)


def _handlers() -> dict:
    """The handlers of the signals that are not ignored."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
