"""Formulas: what they may say, what they give, and what they can't do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.nodes.logic.expressions import ExpressionError, evaluate
from comfykernel_core_nodes.nodes.logic.math_expression import math_expression
from comfykernel_sdk.errors import BadInput


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("a + b", 7.5),
        ("(a // 2) * 2", 4),
        ("a & ~1", 4),
        ("a > 3", True),
        ("1 < a < 4", False),
        ("max(a, b, 9) - min(values)", 6.5),
        ("sum(values) + len_of if False else 1", 1),
        ("a if a > b else b", 5),
        ("not a or b", 2.5),
        ("2 ** -1", 0.5),
        ("round(b * 1.3, 1)", 3.2),
        ("values[0] % 3", 2),
        ("ceil(b) + floor(b) + int(b) + sqrt(16) + log2(8)", 14),
        ("a\n  + b", 7.5),
        ("1 << 4 | 3 ^ 1", 18),
    ],
)
def test_values(expression: str, want: float) -> None:
    assert evaluate(expression, {"a": 5, "b": 2.5, "values": [5, 2.5]}) == pytest.approx(want)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("a +", "invalid syntax"),
        ("x", "no value 'x'"),
        ("1 / 0", "divides by zero"),
        ("sqrt(-1)", "expected a nonnegative input|math domain"),
        ("(-8) ** 0.5", "complex"),
        ("9 ** 9 ** 9", "too large"),
        ("1 << 99999", "too large"),
        ("'a' * 9", "no arithmetic"),
        ("[1] * 9", "a number is needed"),
        ("a.real", "no arithmetic"),
        ("__import__('os')", "no arithmetic"),
        ("(lambda: 1)()", "no arithmetic"),
        ("[x for x in values]", "no arithmetic"),
        ("max(*values)", "no arithmetic"),
        ("round(a, ndigits=1)", "no arithmetic"),
        ("values", "a number is needed"),
        ("values[9]", "out of range"),
        ("a is b", "compared by"),
        ("1.5 & 1", "whole numbers"),
        ("-" * 9000 + "1", "nested too deeply"),
        ("1" * 10_001, "longer than"),
    ],
)
def test_refusals(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        evaluate(expression, {"a": 5, "b": 2.5, "values": [5, 2.5]})


NUMBERS = st.integers(-50, 50).map(str) | st.sampled_from(["a", "b", "0.5"])
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda part: (
        st.builds("({} {} {})".format, part, st.sampled_from("+ - * / // % < >= == and or".split()), part)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), part, part)
        | st.builds("({} if {} else {})".format, part, part, part)
        | st.builds("(-{})".format, part)
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_results_are_pythons(expression: str) -> None:
    names = {"a": 7, "b": -2.5}
    try:
        want = eval(expression, {"min": min, "max": max}, dict(names))
    except (ZeroDivisionError, OverflowError):
        with pytest.raises(ExpressionError):
            evaluate(expression, names)
        return
    got = evaluate(expression, names)
    assert got == want or (math.isnan(got) and math.isnan(want))


def test_node_gives_three_kinds_of_result() -> None:
    assert math_expression("a * b", {"a": 3, "b": -0.9}) == (pytest.approx(-2.7), -2, True)
    assert math_expression("a", {"a": False}) == (0.0, 0, False)


@pytest.mark.parametrize("expression", ["10 ** 400", "1e308 * 10", "float('nan')"])
def test_node_refuses_what_is_not_finite(expression: str) -> None:
    with pytest.raises(BadInput) as error:
        math_expression(expression, {"a": 1})
    assert error.value.type == "invalid_expression"
