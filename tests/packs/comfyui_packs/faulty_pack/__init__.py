"""Nodes in the form of ComfyUI packs that do what they must not, and a few that behave."""

import math


def node(**declaration):
    """A class form node whose ``run`` is a function of its one input."""

    def make(function):
        members = {
            "INPUT_TYPES": classmethod(lambda cls: {"required": {"value": ("INT", {"default": 0})}}),
            "RETURN_TYPES": ("INT",),
            "FUNCTION": "run",
            "CATEGORY": "faulty",
            "run": lambda self, value: function(value),
            **declaration,
        }
        return type(function.__name__, (), members)

    return make


@node(RETURN_TYPES=(), OUTPUT_NODE=True)
def FaultyShow(value):
    return {"ui": {"values": [value]}}


@node()
def FaultyEcho(value):
    return (value,)


@node()
def FaultyRaise(value):
    raise ArithmeticError(f"no {value}")


@node()
def FaultyExit(value):
    raise SystemExit(3)


@node(RETURN_TYPES=("INT", "INT"))
def FaultyFew(value):
    return (value,)


@node(RETURN_TYPES=("INT", "INT"))
def FaultyNone(value):
    return None


@node()
def FaultyBare(value):
    return value


@node()
def FaultyText(value):
    return ("a text",)


@node()
def FaultyGenerator(value):
    yield value


@node(IS_CHANGED=classmethod(lambda cls, value: math.nan))
def FaultyNan(value):
    return (value,)


@node(IS_CHANGED=classmethod(lambda cls, value: 1 / 0))
def FaultyToken(value):
    return (value,)


@node(VALIDATE_INPUTS=classmethod(lambda cls, value: 1 / 0))
def FaultyValidator(value):
    return (value,)


@node(
    INPUT_TYPES=classmethod(
        lambda cls: {
            "required": {"value": ("INT", {"default": 0})},
            "hidden": {"unknown": "NO_SUCH_THING", "id": "UNIQUE_ID"},
        }
    ),
    run=lambda self, value, unknown=None, id=None: ([unknown, id] == [None, "1"] and value,),
)
def FaultyHidden(value):
    """Gets nothing for a hidden input that does not exist."""


def expanding(name, graph, result):
    @node()
    def expand(value):
        return {"expand": graph, "result": (result,)}

    expand.__name__ = name
    return expand


FaultyUnknownClass = expanding("FaultyUnknownClass", {"x": {"class_type": "NoSuchClass", "inputs": {}}}, ["x", 0])
FaultyBadLink = expanding(
    "FaultyBadLink", {"x": {"class_type": "FaultyEcho", "inputs": {"value": ["nowhere", 0]}}}, ["x", 0]
)
FaultyBadOutput = expanding("FaultyBadOutput", {"x": {"class_type": "FaultyEcho", "inputs": {"value": 1}}}, ["x", 7])
FaultyItself = expanding("FaultyItself", {"x": {"class_type": "FaultyEcho", "inputs": {"value": ["1", 0]}}}, ["x", 0])
FaultyInside = expanding("FaultyInside", {"x": {"class_type": "FaultyRaise", "inputs": {"value": 5}}}, ["x", 0])

NODE_CLASS_MAPPINGS = {
    name: found for name, found in globals().items() if name.startswith("Faulty") and isinstance(found, type)
}
