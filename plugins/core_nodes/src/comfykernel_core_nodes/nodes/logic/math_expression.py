"""The node that calculates a formula."""

from __future__ import annotations

import math
import string
from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.logic.expressions import FUNCTIONS, ExpressionError, Value, evaluate
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Growing, Out, Socket, Text

math_node = extra_node("nodes_math")

NumberSocket = Annotated[int | float | bool, Socket("FLOAT,INT,BOOLEAN")]


@math_node(
    "ComfyMathExpression", category="math", display_name="Math Expression", search_aliases=("calculate", "formula")
)
def math_expression(
    expression: Annotated[str, Text(default="a + b", multiline=True)],
    values: Annotated[dict[str, NumberSocket], Growing(names=tuple(string.ascii_lowercase), min=1)],
) -> tuple[float, int, Annotated[bool, Out("BOOL")]]:
    """Calculate a formula of the linked values, which are called a, b, c and so on, and all together ``values``.

    The result comes as number, as whole number with the decimals cut off, and as whether it is not zero.

    Args:
        expression: arithmetic as in Python, such as max(a, 256) // 16 * 16 or a if a > b else b.

    Raises:
        BadInput: the formula can't be read or calculated, or its result is not finite.
    """
    names: dict[str, Value] = {**values, "values": list(values.values())}
    try:
        result = evaluate(expression, names)
        number = float(result)
    except (ExpressionError, OverflowError) as error:
        raise BadInput(
            f"The expression {expression[:200]!r} can't be calculated: {error}.", type="invalid_expression",
            hint=f"Values: {', '.join(values)}. Functions: {', '.join(FUNCTIONS)}.",
        ) from error  # fmt: skip
    if not math.isfinite(number):
        raise BadInput(f"The expression {expression[:200]!r} gives {number}.", type="invalid_expression")
    return number, int(result), bool(result)
