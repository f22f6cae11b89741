"""The `$filter` of a matrix: a condition on the axes, which says what combinations stay. Nothing is executed."""

import ast
import re
from collections.abc import Collection, Mapping

from siren_fastai.study.experiment import Plain
from siren_fastai.study.parsing.expressions import FAILURES, NUMBERS, evaluated

__all__ = ["REFERENCE", "Filter"]

REFERENCE = re.compile(r"\$\{([^{}]*)\}")  # ${name}
MAX_CHARACTERS = 1000
_MARK = re.compile(r"_axis_(\d+)_")  # stands for ${name} while Python's parser reads the condition
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
_NODES = (*NUMBERS, *_COMPARISONS, ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.Not, ast.Name, ast.List)


class Filter:
    """A condition in Python's syntax: comparisons, `in`, `and`, `or`, `not`, arithmetic, lists of values.

    An axis is written `${name}` or `name`; within quotes, `${name}` is its value as text.
    Raises: ValueError for anything else.
    """

    def __init__(
        self,
        text: str,
        axes: Collection[str],  # the names that it may use
    ):
        self.text, self.axes = text, list(axes)
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"a filter has at most {MAX_CHARACTERS} characters, got {len(text)}")
        try:
            self._tree = self._read(REFERENCE.sub(lambda found: f"_axis_{self._index(found[1])}_", text))
        except SyntaxError:
            raise ValueError(f"expected a condition such as ${{a}} <= ${{b}}, got {text!r:.100}") from None
        except (MemoryError, RecursionError):
            raise ValueError("the filter is nested too deeply") from None

    def __call__(
        self,
        values: Mapping[str, Plain],  # of the axes, by name
    ) -> bool:
        """Return whether the condition holds. Raises: ValueError if its answer isn't true or false."""
        try:
            answer = evaluated(self._tree, values)
        except FAILURES as error:
            raise ValueError(f"{self.text!r:.100} has no answer for {dict(values)!r:.200}: {error}") from None
        if not isinstance(answer, bool):
            raise ValueError(f"{self.text!r:.100} must be true or false, got {answer!r:.60}")
        return answer

    def _read(self, marked: str) -> ast.expr:
        tree = ast.parse(marked.strip(), mode="eval").body
        for node in ast.walk(tree):
            if not isinstance(node, _NODES):
                raise ValueError(f"a filter compares axes and numbers; it cannot have a {type(node).__name__}")
            if isinstance(node, ast.Name) and not _MARK.fullmatch(node.id):
                self._index(node.id)
        return _Axes(self.axes).visit(tree)

    def _index(self, name: str) -> int:
        if name.strip() not in self.axes:
            raise ValueError(f"{name!r:.60} isn't an axis; the axes are {', '.join(self.axes)}")
        return self.axes.index(name.strip())


class _Axes(ast.NodeTransformer):
    """Puts the axes' names where their marks are, also within texts; tuples become lists, as the axes' values are."""

    def __init__(self, axes: list[str]):
        self.axes = axes

    def visit_Name(self, node: ast.Name) -> ast.Name:
        marked = _MARK.fullmatch(node.id)
        return self._axis(marked[1]) if marked else node

    def visit_Tuple(self, node: ast.Tuple) -> ast.List:
        return ast.List([self.visit(item) for item in node.elts], ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str):
            return node
        parts = _MARK.split(node.value)  # text, index, text, index, ..., text
        texts = [ast.Constant(text) for text in parts[::2]]
        values = [ast.FormattedValue(self._axis(index), -1, None) for index in parts[1::2]]
        return ast.JoinedStr([part for pair in zip(texts, [*values, texts[-1]], strict=True) for part in pair][:-1])

    def _axis(self, index: str) -> ast.Name:
        return ast.Name(self.axes[int(index)], ast.Load())
