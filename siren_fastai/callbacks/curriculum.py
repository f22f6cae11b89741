"""Change a setting of the data during a fit: easy samples first, then hard ones."""

import difflib
from collections.abc import Mapping
from typing import Any

from fastai.callback.core import Callback, TrainEvalCallback
from fastai.learner import Learner

__all__ = ["Curriculum"]

ROUNDING = 1e-6  # of the share of the fit, which fastai sums step by step


class Curriculum(Callback):
    """Give a setting of `learn.dls` other values as a fit goes on, such as larger holes in its second half.

    A value holds from the first batch after its share of the fit on, and before the first share the setting keeps its
    own. What a loader reads only when an epoch begins, such as its batch size, follows with the next epoch; loaders
    with worker processes hand all other settings to them then too. After the fit the setting is what it was before;
    Ctrl-C skips that until the next fit, and `restore()` does it at once. `lr_find`, validation by itself and
    `get_preds` use the setting as it is. A resumed fit (`start_epoch`) begins with the value of its share. Each change
    is a row in `learn.curriculum.changes`, and other callbacks hear of it by their method `task_changed`, if they have
    one: `TrainingWheels` then forgets the losses of before.
    Raises: ValueError for shares outside [0, 1) at once; before the first batch if there is no such setting, or if it
        refuses a value; TypeError for values that aren't a dict by share.
    Source: note 004 ("trained well with small rectangles, retrained with bigger ones").
    """

    order = TrainEvalCallback.order + 1  # it counts the share of the fit

    def __init__(
        self,
        setting: str,  # where it is under `learn.dls`, such as "train_ds.holes" or "train.bs"
        values: Mapping[float, Any],  # by the share of the fit from which they hold, in [0, 1)
    ):
        if not isinstance(values, Mapping) or not values:
            raise TypeError(f"`values` must be a dict such as {{0: small, 0.5: large}}, got {values!r}")
        wrong = [share for share in values if not (isinstance(share, int | float) and 0 <= share < 1)]
        if wrong:
            raise ValueError(f"the keys of `values` must be shares of the fit from 0 to below 1, got {wrong[0]!r}")
        if not setting or not all(part.isidentifier() for part in setting.split(".")):
            raise ValueError(f'`setting` must be names with dots, such as "train_ds.holes", got {setting!r}')
        self.setting, self.values = setting, dict(sorted(values.items()))
        self.changes, self.before, self.scheduling = [], [], False

    def before_fit(self):
        self.restore()  # what an interrupted fit left
        self.current, self.scheduling = None, False
        owner, name = find_setting(self.learn, self.setting)
        own = getattr(owner, name)
        for value in self.values.values():  # a setting may refuse one
            try:
                setattr(owner, name, value)
            finally:
                setattr(owner, name, own)

    def before_train(self):
        if not self.scheduling and not hasattr(self, "lr_finder"):
            owner, name = find_setting(self.learn, self.setting)
            self.before, self.scheduling = [getattr(owner, name)], True
        self._follow()

    def after_batch(self):
        if self.training:
            self._follow()

    def after_fit(self):
        self.restore()

    def restore(self) -> None:
        """Give the setting the value that it had before the fit."""
        if self.before:
            owner, name = find_setting(self.learn, self.setting)
            setattr(owner, name, self.before.pop())
        self.scheduling = False

    def _follow(self):
        """Set the value of this share of the fit, if it is another one than before."""
        share = max((s for s in self.values if s <= self.pct_train + ROUNDING), default=None)
        if not self.scheduling or share == self.current:
            return
        owner, name = find_setting(self.learn, self.setting)
        setattr(owner, name, self.values[share])
        if self.train_iter:
            for callback in self.learn.cbs:
                if hasattr(type(callback), "task_changed"):
                    callback.task_changed()
        self.current = share
        self.changes.append(dict(epoch=self.epoch, step=self.train_iter, share=share, value=self.values[share]))


def find_setting(
    learn: Learner,
    setting: str,  # names with dots under `learn.dls`
) -> tuple[Any, str]:
    """The object that has the setting itself, and its name there.

    fastai's loaders pass questions on to their datasets, but not assignments: a value that is set on the wrong one
    would change nothing.
    Raises: ValueError if there is none, or if the object only passes questions on.
    """
    *path, name = setting.split(".")
    owner, seen = learn.dls, "dls"
    for part in path:
        if not hasattr(owner, part):
            raise ValueError(f"`{seen}` has no `{part}`{_meant(owner, part)}: `setting` was {setting!r}")
        owner, seen = getattr(owner, part), f"{seen}.{part}"
    if name in getattr(owner, "__dict__", ()) or hasattr(type(owner), name):
        return owner, name
    if hasattr(owner, name):
        inner = getattr(owner, "_default", "dataset")
        raise ValueError(
            f"`{name}` belongs to `{seen}.{inner}`: write {f'{seen}.{inner}.{name}'[4:]!r}, not {setting!r}"
        )
    raise ValueError(f"`{seen}` has no setting `{name}`{_meant(owner, name)}: `setting` was {setting!r}")


def _meant(owner, name: str) -> str:
    names = [other for other in dir(owner) if not other.startswith("_")]
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
