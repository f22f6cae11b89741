"""Which images train, which validate and which test: whole groups, spread evenly over the collection."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["EVERY", "FoldSplitter", "group_folds", "split_groups"]

EVERY = 21  # one group in 21 validates, 20 to 1


def split_groups(
    groups: Tensor,  # (n,) int64: what each image comes from
    valid: int | float = EVERY,  # an integer n: every n-th group validates; a share in (0, 1): as many of the groups
    name: str = "valid",  # of that argument, for messages
) -> tuple[Tensor, Tensor]:  # (m,) and (n - m,) int64, sorted
    """The indices of the images that train and of those that validate; no group is in both.

    Groups count in the order of their numbers, and those that validate are spread evenly among them; nothing is drawn.
    Raises: ValueError for a bad `valid`, for groups that aren't (n,), or if one of the two parts is empty.
    """
    if groups.dim() != 1 or groups.is_floating_point():
        raise ValueError(f"`groups` must be (n,) integers, got {tuple(groups.shape)} of {groups.dtype}")
    share = _share(name, valid)
    names, position = groups.unique(return_inverse=True)
    ends = [int((i + 1) * share) > int(i * share) for i in range(len(names))]
    held_out = torch.tensor(ends, dtype=torch.bool, device=groups.device)[position]
    if not 0 < int(held_out.sum()) < len(groups):
        raise ValueError(
            f"`{name}`={valid!r} takes {int(held_out.sum())} of {len(groups)} images, which come in {len(names)} "
            "groups; both parts need one or more"
        )
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def group_folds(
    groups: Tensor,  # (n,) int64: what each image comes from
    k: int = 5,  # folds
    fold: int = 0,  # the one that validates, from 0 to k - 1
    test: int | float = 0.2,  # kept apart in all folds: as `valid` of `split_groups`; 0 is none
) -> tuple[Tensor, Tensor, Tensor]:  # the indices that train, validate and test; int64, sorted
    """One fold of a k-fold cross-validation within what is left without the test images; no group is in two parts.

    The test images are the same in all folds. Every other group validates in one of the folds, and the folds differ by
    one group at most. Nothing is drawn. Folds give k estimates of how well a method does, not more data.
    Raises: ValueError for a `fold` that there isn't, fewer groups than folds, and as `split_groups`.
    """
    if type(k) is not int or k < 2 or type(fold) is not int or not 0 <= fold < k:
        raise ValueError(f"`fold` must be an integer from 0 to `k` - 1, and `k` 2 or more, got {fold!r} of {k!r}")
    if test == 0 and type(test) in (int, float):
        rest, tested = torch.arange(len(groups), device=groups.device), groups.new_zeros(0, dtype=torch.int64)
    else:
        rest, tested = split_groups(groups, test, "test")
    names, position = groups[rest].unique(return_inverse=True)
    if len(names) < k:
        raise ValueError(f"{k} folds need {k} groups or more, got {len(names)} without those kept apart by `test`")
    validates = position % k == fold
    return rest[~validates], rest[validates], tested


@dataclass(frozen=True)
class FoldSplitter:
    """A fastai splitter: called with items, it returns the indices that train and those that validate.

    Items that come from one image or patient stay together, see `group_folds`; `test(items)` are those kept apart.
    """

    group: Callable[[object], Hashable] | None = None  # what an item comes from; None is each from itself
    k: int = 5  # folds
    fold: int = 0  # the one that validates, from 0 to k - 1
    share: int | float = 0.2  # of the groups, which is kept apart for the test; as `test` of `group_folds`

    def __call__(self, items: Sequence) -> tuple[list[int], list[int]]:
        return self._parts(items)[:2]

    def test(self, items: Sequence) -> list[int]:
        """The indices that neither train nor validate in any fold."""
        return self._parts(items)[2]

    def _parts(self, items: Sequence) -> tuple[list[int], ...]:
        numbers = {}  # in the order in which the groups first come
        names = range(len(items)) if self.group is None else [self.group(item) for item in items]
        groups = torch.tensor([numbers.setdefault(name, len(numbers)) for name in names], dtype=torch.int64)
        return tuple(part.tolist() for part in group_folds(groups, self.k, self.fold, self.share))


def _share(name: str, value: int | float) -> Fraction:
    """The share of the groups that `value` stands for."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        return Fraction(1, value)
    if isinstance(value, float) and 0 < value < 1:
        return Fraction(value).limit_denominator(10**6)
    raise ValueError(
        f"`{name}` must be an integer above 1 (every n-th group) or a share between 0 and 1, got {value!r}"
    )
