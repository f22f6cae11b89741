"""Arithmetic in study files: what unquoted text means, and an evaluator that cannot call, look up or grow anything.

Python's syntax tree is compared with a short list of node types before simpleeval sees it, and the operators take
numbers only and refuse large powers and shifts.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import lru_cache

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from siren_fastai.study.experiment import Plain

__all__ = ["FAILURES", "NUMBERS", "UNREADABLE", "evaluated", "groups_thousands", "plain_value"]

MAX_CHARACTERS = 200
MAX_BITS = 256  # of a power or a shift on the way to a result
MAX_INTEGER = 2**63 - 1  # of a result
WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL", "None"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
UNREADABLE = (SyntaxError, ValueError, MemoryError, RecursionError)  # what ast.parse raises
FAILURES = (ArithmeticError, ValueError, TypeError, RecursionError, InvalidExpression)  # what `evaluated` raises
_ARITHMETIC = re.compile(r"(?=.*\d)[\d _.eE+\-*/%<>(),]+")
_TIGHT_MINUS = re.compile(r"[\d.)]-")  # dates and ranges: 2026-11-21, 5-3
_THOUSANDS = re.compile(r"(?<![\d_.])\d{1,3}(_\d{3})+(?![\d_])")  # 1_000_000


def plain_value(
    text: str,  # as written, without quotes
) -> Plain:
    """Return what unquoted `text` means: null, true or false, a number, a list for a tuple of numbers, or the text.

    Arithmetic on numbers is evaluated: + - * / // % ** << >> and parentheses. A minus between two numbers needs a
    space before it, so that dates and ranges stay text.
    Raises: ValueError for arithmetic that is too long, undefined, or beyond 64 bits.
    """
    if text in WORDS:
        return WORDS[text]
    if not _ARITHMETIC.fullmatch(text) or _TIGHT_MINUS.search(text) or not groups_thousands(text):
        return text
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"arithmetic has at most {MAX_CHARACTERS} characters, got {len(text)}; quote it if it is text")
    return deepcopy(_arithmetic(text))


@lru_cache(10_000)  # the combinations of a matrix repeat the same few
def _arithmetic(text: str) -> str | int | float | list:
    try:
        tree = ast.parse(text, mode="eval").body
    except UNREADABLE:
        return text
    bare_tuple = isinstance(tree, ast.Tuple) and not text.startswith("(")  # 0,5 is no list
    if bare_tuple or not all(isinstance(node, NUMBERS) for node in ast.walk(tree)):
        return text
    try:
        return _number_or_list(tree)
    except FAILURES as error:
        raise ValueError(f"cannot evaluate {text!r:.60}: {error}; quote it if it is text") from None


def groups_thousands(text: str) -> bool:
    """Return whether every `_` in `text` is one as in 1_000_000: `4_2` is no number here, though Python reads one."""
    return "_" not in _THOUSANDS.sub("", text)


def evaluated(
    tree: ast.expr,  # of allowed node types only: the caller checks
    names: Mapping[str, Plain],  # the values of its names
) -> Plain:
    """Return the value of an expression. Raises: one of `FAILURES`."""
    evaluator = EvalWithCompoundTypes(operators=_OPERATORS, functions={}, names=names)
    return evaluator.eval("", previously_parsed=tree)


def _number_or_list(tree: ast.expr) -> int | float | list:
    if isinstance(tree, ast.Tuple):
        return [_number_or_list(item) for item in tree.elts]
    value = evaluated(tree, {})
    if isinstance(value, complex) or not math.isfinite(value) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise ValueError("the result isn't a finite number of at most 64 bits")
    return value


def _of_numbers(function: Callable) -> Callable:
    def checked(*values):
        if not all(isinstance(value, (int, float)) for value in values):
            raise TypeError("arithmetic needs numbers")
        return function(*values)

    return checked


def _power(a: int | float, b: int | float) -> int | float | complex:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > MAX_BITS:
        raise ValueError("the power is too large")
    return a**b


def _shifted(a: int, b: int) -> int:
    if b > MAX_BITS:
        raise ValueError("the shift is too large")
    return a << b


_ARITHMETIC_OPERATORS = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos},
    **{ast.Pow: _power, ast.LShift: _shifted, ast.RShift: operator.rshift},
}
_OPERATORS = {
    **{kind: _of_numbers(function) for kind, function in _ARITHMETIC_OPERATORS.items()},
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Not: operator.not_},
    **{ast.In: lambda item, items: item in items, ast.NotIn: lambda item, items: item not in items},
}
NUMBERS = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.Load, *_ARITHMETIC_OPERATORS)  # nodes of arithmetic
