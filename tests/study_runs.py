"""Small studies for tests, made without a file, and the experiments that they run."""

import os
import signal
import time
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import torch


def study_of(experiment="sum", name="small", fixed=None, refused=(), **axes):
    """A study of all combinations of `axes`, with the `fixed` settings added to each."""
    combinations = []
    for number, values in enumerate(product(*axes.values()), 1):
        chosen = dict(zip(axes, values, strict=True))
        slug = "_".join(f"{key}-{value}" for key, value in chosen.items())
        reason = "that one is refused" if slug in refused else None
        settings = {**chosen, **(fixed or {})}
        combinations.append(SimpleNamespace(number=number, slug=slug, axes=chosen, settings=settings, refused=reason))
    described = dict(title="A small study", source="a test", protocol={}, full=False, claims=[], figures=[])
    rules = SimpleNamespace(at=lambda values: {**values, **(fixed or {})}, naming=[], derived=[])
    return SimpleNamespace(name=name, experiment=experiment, combinations=combinations, rules=rules, **described)


def add(settings, folder):
    """A row, and a file in a folder of its own."""
    (folder / "more").mkdir()
    (folder / "more" / "history.csv").write_text(f"step,value\n0,{settings['a']}\n")
    return {"total": settings["a"] + settings["b"], "threads": torch.get_num_threads(), "process": os.getpid()}


def add_but_for_two(settings, folder):
    """Fail for a == 2, after a file was written."""
    row = add(settings, folder)
    if settings["a"] == 2:
        raise RuntimeError("two is not liked here")
    return row


def add_slowly(settings, folder):
    """Say in the folder `log` that it has begun, then take a while."""
    Path(settings["log"], f"{settings['a']}-{os.getpid()}-{time.monotonic_ns()}").touch()
    row = add(settings, folder)
    time.sleep(settings["seconds"])
    return row


def add_unless_killed(settings, folder):
    """The process ends without a word for a == 2."""
    if settings["a"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return add(settings, folder)


def wait_until(holds, seconds=120):
    """Whether `holds()` within this many seconds."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def half(value):
    return value / 2


def half_or_error(value):
    if value == 3:
        raise ValueError("no\nthree")
    return value / 2


def environment(value):
    """The process, torch's threads, and what the libraries below it are told."""
    time.sleep(0.2)  # so that no process does all the calls
    return os.getpid(), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def end_if_two(value):
    if value == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return value
