"""Evaluation of arithmetic expressions that people write: no names but the given ones, no way out, bounded numbers.

An expression is Python's: it is parsed by ``ast`` and walked; what is not listed here is refused before anything is
calculated.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

Number: TypeAlias = int | float | bool
Value: TypeAlias = Number | Sequence[Number]

LONGEST_EXPRESSION: Final = 10_000
"""Characters: longer ones would nest deeper than the parser can go."""

MOST_BITS: Final = 4096
"""Bits of a whole number on the way: more than any float, and quickly calculated."""


class ExpressionError(ValueError):
    """Raised when an expression can't be read or calculated; the message is for people."""


def evaluate(expression: str, names: Mapping[str, Value]) -> Number:
    """The value of an expression such as ``max(a, 5) // 2``.

    Args:
        expression: Python's arithmetic, comparisons, ``and``, ``or``, ``not``, ``x if y else z``, lists, indices, and
            calls of :data:`FUNCTIONS`.
        names: values that the expression may name.

    Raises:
        ExpressionError: it is empty, no expression, uses something else, or has no finite real value.
    """
    if not expression.strip():
        raise ExpressionError("the expression is empty")
    if len(expression) > LONGEST_EXPRESSION:
        raise ExpressionError(f"the expression is longer than {LONGEST_EXPRESSION} characters")
    try:
        tree = ast.parse(" ".join(expression.split()), mode="eval")
        return _number(_value(tree.body, names))
    except SyntaxError as error:
        raise ExpressionError(f"{error.msg} at character {error.offset}") from error
    except ZeroDivisionError as error:
        raise ExpressionError("it divides by zero") from error
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise ExpressionError(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise ExpressionError("it is nested too deeply") from error


def _number(value: object) -> Number:
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"a number is needed, not {type(value).__name__}")
    return value


def _bounded(value: object) -> Number:
    number = _number(value)
    if isinstance(number, int) and number.bit_length() > MOST_BITS:
        raise OverflowError("a number on the way is too large")
    return number


def _power(base: Number, exponent: Number) -> Number:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and int(base).bit_length() * abs(exponent) > 2 * MOST_BITS:
        raise OverflowError("a power is too large")
    return _bounded(base**exponent)


def _shifted_left(value: Number, places: Number) -> Number:
    if _whole(places) > MOST_BITS:
        raise OverflowError("a number on the way is too large")
    return _whole(value) << _whole(places)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("bits are those of whole numbers")
    return value


BINARY: Final[dict[type[ast.operator], Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power,
    ast.LShift: _shifted_left,
    ast.RShift: lambda a, b: _whole(a) >> _whole(b),
    ast.BitAnd: lambda a, b: _whole(a) & _whole(b),
    ast.BitOr: lambda a, b: _whole(a) | _whole(b),
    ast.BitXor: lambda a, b: _whole(a) ^ _whole(b),
}  # fmt: skip

UNARY: Final[dict[type[ast.unaryop], Callable[[Number], Number]]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_, ast.Invert: lambda a: ~_whole(a)
}  # fmt: skip

COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Number, Number], bool]]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip

FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "sum": sum, "min": min, "max": max, "abs": abs, "round": round, "pow": _power, "sqrt": math.sqrt,
    "ceil": math.ceil, "floor": math.floor, "log": math.log, "log2": math.log2, "log10": math.log10,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "int": int, "float": float,
}  # fmt: skip


def _value(node: ast.expr, names: Mapping[str, Value]) -> Value:
    """The value of a part of an expression."""
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return _bounded(value)
        case ast.Name(id=name):
            if name not in names:
                raise ExpressionError(f"there is no value {name!r}; there are {', '.join(names)}")
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _bounded(BINARY[type(op)](_number(_value(left, names)), _number(_value(right, names))))
        case ast.UnaryOp(op=op, operand=operand):
            return _bounded(UNARY[type(op)](_number(_value(operand, names))))
        case ast.BoolOp(op=op, values=parts):
            return _joined(parts, names, stops_at=isinstance(op, ast.Or))
        case ast.Compare():
            return _compared(node, names)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _value(body if _value(test, names) else other, names)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_number(_value(part, names)) for part in parts]
        case ast.Subscript(value=whole, slice=index):
            return _item(_value(whole, names), _value(index, names))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return _called(name, [_value(argument, names) for argument in arguments])
    raise ExpressionError(f"{ast.unparse(node)[:100]!r} is no arithmetic")


def _joined(parts: list[ast.expr], names: Mapping[str, Value], *, stops_at: bool) -> Value:
    """``and`` and ``or``: the first part that decides, or the last one."""
    value: Value = False
    for part in parts:
        value = _value(part, names)
        if bool(value) is stops_at:
            break
    return value


def _compared(node: ast.Compare, names: Mapping[str, Value]) -> bool:
    left = _number(_value(node.left, names))
    for op, part in zip(node.ops, node.comparators, strict=True):
        right = _number(_value(part, names))
        if type(op) not in COMPARISONS:
            raise ExpressionError("numbers are compared by < <= > >= == !=")
        if not COMPARISONS[type(op)](left, right):
            return False
        left = right
    return True


def _item(whole: Value, index: Value) -> Number:
    if isinstance(whole, (bool, int, float)) or not isinstance(index, int):
        raise ExpressionError("only lists have items, and a whole number says which one")
    return whole[index]


def _called(name: str, arguments: list[Value]) -> Number:
    if name == "round" and len(arguments) == 2 and abs(_whole(arguments[1])) > MOST_BITS:
        raise OverflowError("there are not so many digits")
    return _bounded(FUNCTIONS[name](*arguments))
