"""Which experiments of a study are run as one job: those that differ only in what their kind allows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from siren_fastai.files import strict_json
from siren_fastai.study.experiment import Together

__all__ = ["grouped"]

Item = TypeVar("Item")


def grouped(
    items: Sequence[Item],  # in the order in which they are to be run
    settings_of: Callable[[Item], Mapping],  # complete settings
    together: Together | None,  # None: each by itself
    most: int | None = None,  # experiments in a group; None is what suits them best
    processes: int = 1,  # that share the groups: each gets some
) -> Iterator[list[Item]]:
    """Yield the items in groups of at most `most`. Where one follows the other alone, the order stays."""
    if together is None or most == 1:
        yield from ([item] for item in items)
        return
    fair = -(-len(items) // processes)
    alike: dict[str, list[Item]] = {}
    for item in items:
        settings = settings_of(item)
        limit = min(fair, most or together.best(settings)) if together.suits(settings) else 1
        group = alike.setdefault(_common(settings, together), []) if limit > 1 else []
        group.append(item)
        if len(group) >= limit:
            yield list(group)
            group.clear()
    yield from (group for group in alike.values() if group)


def _common(settings: Mapping, together: Together) -> str:
    """What experiments that run together have in common."""
    return strict_json({name: value for name, value in settings.items() if name not in together.varying})
