"""Checks of an experiment's plain settings, with errors that name the setting."""

import math
import re
from collections.abc import Iterable
from numbers import Integral, Real

__all__ = ["check_choice", "check_count", "check_device", "check_levels", "check_number"]

_DEVICE = re.compile(r"auto|(cpu|cuda)(:\d+)?")  # see `fits.devices`


def check_choice(name: str, value, choices: Iterable) -> None:
    """Raise ValueError unless the value is one of `choices`; `True` isn't 1 here."""
    if not any(value is choice or (value == choice and isinstance(choice, str)) for choice in choices):
        raise ValueError(f"`{name}` must be one of {', '.join(map(str, choices))}, got {value!r}")


def check_count(name: str, value, least: int, optional: bool = False) -> None:
    """Raise ValueError unless the value is an integer of `least` or more, or None with `optional`."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of {least} or more, got {value!r}")


def check_number(name: str, value, optional: bool = False, zero: bool = False) -> None:
    """Raise ValueError unless the value is a finite number above 0, or 0 with `zero`, or None with `optional`."""
    if optional and value is None:
        return
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        raise ValueError(f"`{name}` must be a number {'of 0 or more' if zero else 'above 0'}, got {value!r}")


def check_levels(levels) -> None:
    """Raise ValueError unless `levels` is a list of numbers above 0."""
    if not isinstance(levels, list):
        raise ValueError(f"`levels` must be a list of numbers, got {levels!r}")
    for level in levels:
        check_number("levels", level)


def check_device(device) -> None:
    """Raise ValueError unless `device` is a text that names a device; whether it is there is seen later."""
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise ValueError(f"`device` must be auto, cpu, cuda or cuda:<n>, got {device!r:.60}")
