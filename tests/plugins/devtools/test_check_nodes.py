"""Rules about nodes and their inputs: each finds what it is for, at its line, and leaves good nodes alone."""

from __future__ import annotations

from .conftest import CheckNodes

GOOD = '''
@node("OddGood", category="odd", display_name="Good")
def good(
    image: Annotated[Image, Socket("IMAGE", tooltip="Pictures.")],
    amount: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.1, tooltip="How much.")],
    mode: Annotated[Literal["a", "b"], Choice(default="b", tooltip="How.")],
    file: Annotated[str, Choice(source="loras", tooltip="Which.")],
    count: Annotated[int, Int(default=3, tooltip="How often.")] = 3,
) -> Annotated[Image, Out("changed", tooltip="Changed pictures.")]:
    """Change pictures."""
    return image
'''
TEMPLATE = '''
@node("Odd{number}", category="odd")
def odd{number}(
    x: {annotation},
) -> Annotated[int, Out(tooltip="y")]:
    """Do something odd."""
    return 1
'''


def test_a_good_pack_has_no_findings(check_nodes: CheckNodes) -> None:
    report = check_nodes(GOOD, with_others=True).report
    assert report.findings == []
    assert (report.distribution, report.nodes) == ("odd-pack", ["OddGood"])


WRONG = [
    ("annotation", "Annotated[str, Int(default=1)]", "The annotation says str, clients give int."),
    ("annotation", "Annotated[int | None, Float()] = None", "The annotation says int, clients give float."),
    ("annotation", "Annotated[Literal['a'], Choice('a', 'b')]", "The annotation leaves out 'b'."),
    ("annotation", "Annotated[str, Choice('a', 2)]", "The annotation says str, clients give 2."),
    ("two-defaults", "Annotated[int, Int(default=1)] = 2", "Two defaults: clients see 1, Python has 2."),
    ("default-type", "Annotated[int, Int(default=0.5)]", "The default 0.5 is no INT."),
    ("default-type", "Annotated[int, Int(default=True)]", "The default True is no INT."),
    ("default-type", "Annotated[str, Text(default=3)]", "The default 3 is no STRING."),
    ("default-type", "Annotated[bool, Toggle(default=1)]", "The default 1 is no BOOLEAN."),
    ("range", "Annotated[float, Float(step=0)]", "The step 0 is not above 0."),
    ("range", "Annotated[float, Float(min=0, max=1, step=2)]", "The step 2 is wider than the range from 0 to 1."),
    ("choices", "Annotated[str, Choice('a', 'b', 'a')]", "Listed more than once: 'a'."),
    ("choices", "Annotated[str, Choice()]", "There is nothing to choose from."),
    ("source", "Annotated[str, Choice(source='lora')]", "There is no list 'lora'."),
    ("lazy", "Annotated[int, Int(lazy=True)]", "The input is lazy, but nothing ever asks for it."),
]
RIGHT = [
    "Annotated[float, Float(default=1, min=0, max=2)]",
    "Annotated[int | None, Int(default=1)] = None",
    "Annotated[bool, Toggle(default=True)] = True",
    "Annotated[str, Choice(source='my_models')]",
    "Annotated[float, Choice(1, 2.5)]",
    "UniqueId",
    "int = 3",
]


def test_wrong_inputs_are_found_at_their_line(check_nodes: CheckNodes) -> None:
    nodes = [TEMPLATE.format(number=number, annotation=wrong[1]) for number, wrong in enumerate(WRONG)]
    checked = check_nodes("".join(nodes))
    found = {finding.node: finding for finding in checked.report.findings if finding.rule != "input-docs"}
    assert len(found) == len(WRONG)
    for number, (rule, annotation, words) in enumerate(WRONG):
        finding = found[f"Odd{number}"]
        assert (finding.rule, finding.message, finding.input) == (rule, words, "x")
        assert checked.line(finding) == f"x: {annotation},"


def test_right_inputs_are_left_alone(check_nodes: CheckNodes) -> None:
    nodes = [TEMPLATE.format(number=number, annotation=right) for number, right in enumerate(RIGHT)]
    findings = check_nodes("".join(nodes)).report.findings
    assert [finding for finding in findings if finding.rule != "input-docs"] == []


def test_what_the_declaration_refuses_is_told_with_its_line(check_nodes: CheckNodes) -> None:
    checked = check_nodes(TEMPLATE.format(number="", annotation="Annotated[int, Int(default=5, max=4)]"))
    (finding,) = checked.of("load-failed")
    assert "NodeDefinitionError: Input 'x': the default 5 is out of range" in finding.message
    assert checked.line(finding) == '@node("Odd", category="odd")'
    assert "Traceback" in finding.hint


def test_ids_words_and_outputs(check_nodes: CheckNodes) -> None:
    checked = check_nodes(
        '''
        @node("Odd One!")
        def first(x: int) -> tuple[Image, Image]:
            return x, x

        @node("odd:two", category="odd", display_name="Odd One!")
        def second(x: int) -> None:
            """Nothing comes of it."""
        '''
    )
    assert [(f.severity, f.node) for f in checked.of("id-form")] == [("error", "odd:two"), ("warning", "Odd One!")]
    for rule, id in (("node-docs", "Odd One!"), ("category", "Odd One!"), ("no-outputs", "odd:two")):
        (finding,) = checked.of(rule)
        assert finding.node == id
    assert len(checked.of("same-title")) == 2
    assert "2 outputs are called 'IMAGE'" in checked.of("output-names")[0].message
    assert checked.of("output-docs")[0].message == "Outputs without a tooltip: IMAGE, IMAGE."
    assert [f.node for f in checked.of("input-docs")] == ["Odd One!", "odd:two"]


def test_types_that_nobody_knows_and_ids_that_others_have(check_nodes: CheckNodes) -> None:
    checked = check_nodes(
        '''
        @node("SaveImage", category="odd", output_node=True)
        def save(images: Annotated[object, Socket("IMAGES")], own: Annotated[object, Socket("ODD,MASK")]) -> None:
            """Look like another node."""

        @node("OddGiver", category="odd")
        def give() -> tuple[Annotated[object, Socket("ODD")], Annotated[object, Socket("LATENTS")]]:
            """Give a type of the pack's own."""
            return 1, 2
        ''',
        with_others=True,
    )
    (taken,) = checked.of("id-collision")
    assert (taken.node, taken.message) == ("SaveImage", "The id is taken by comfykernel-core-nodes.")
    given, wanted = checked.of("unknown-type")
    assert (given.input, given.message, given.hint) == (
        "images",
        "No node gives the type 'IMAGES'.",
        "Did you mean 'IMAGE'?",
    )
    assert "takes the type 'LATENTS'" in wanted.message
    assert wanted.hint == "Did you mean 'LATENT'?"


def test_inputs_that_a_choice_brings_are_checked_too(check_nodes: CheckNodes) -> None:
    checked = check_nodes(
        '''
        from typing import TypedDict

        class ToSize(TypedDict):
            how: Literal["to size"]
            width: Annotated[int, Int(default=0.5)]

        class ByFactor(TypedDict):
            how: Literal["by factor"]
            factor: float

        @node("OddResize", category="odd")
        def resize(
            how: ToSize | ByFactor,
        ) -> Annotated[int, Out(tooltip="y")]:
            """Two ways."""
            return 1
        '''
    )
    (finding,) = checked.of("default-type")
    assert finding.input == "how.width"
    assert checked.line(finding) == "how: ToSize | ByFactor,"
