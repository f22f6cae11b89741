"""What a study runs: a named function of plain settings, which owns one folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Experiment", "Plain", "Result", "Settings", "Together"]

Plain = str | int | float | bool | None | list | dict
Settings = Mapping[str, Plain]
Result = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Together:
    """How experiments that differ in few settings are run as one job, each with the row that it would have alone."""

    run: Callable[[Sequence[Settings], Sequence[Path]], Sequence[Result]]  # of complete settings, a folder for each
    varying: Sequence[str]  # the settings in which they may differ
    suits: Callable[[Settings], bool]  # whether experiments with these settings can be run together
    best: Callable[[Settings], int]  # how many of them are best run together; 1 for none
    fills: Callable[[Settings], bool]  # whether a job of them fills the device, as on a GPU: then one process is enough
    shares: Callable[[str], bool]  # whether a column of the row is a share of what the job took, such as its seconds


@dataclass(frozen=True)
class Experiment:
    """One kind of experiment. `run` returns one row of the study's table; what else it has, it writes to its folder."""

    name: str
    run: Callable[[Settings, Path], Result]
    defaults: Settings = field(default_factory=dict)  # every setting that may be left out, with its value
    required: Sequence[str] = ()  # the settings that must be given; others than these and the defaults are unknown
    check: Callable[[Settings], None] | None = None  # raises ValueError, with the reason, for what cannot be run
    together: Together | None = None  # None: always one by one

    def complete(self, settings: Settings) -> dict[str, Plain]:
        """`settings` with the defaults for what is left out.

        Raises: ValueError for a setting that is missing, unknown, or refused by `check`.
        """
        missing = [name for name in self.required if name not in settings]
        if missing:
            raise ValueError(f"the experiment {self.name!r} needs {', '.join(missing)}")
        unknown = [name for name in settings if name not in self.defaults and name not in self.required]
        if unknown:
            known = ", ".join(sorted([*self.required, *self.defaults]))
            raise ValueError(f"the experiment {self.name!r} has no setting {', '.join(unknown)}; it has {known}")
        whole = {**self.defaults, **settings}
        if self.check:
            self.check(whole)
        return whole
