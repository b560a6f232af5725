"""Model families as programs without a kernel find them: those of all installed distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from comfykernel_sdk.families import (
    CodecPlan,
    DiffusionPlan,
    ModelFamily,
    ModelHeader,
    TextPlan,
    UnknownFamilyError,
    find_family,
    model_families,
    use_families,
)

Install = Callable[[str, str, str], None]


class Nothing:
    """A family that has no models."""

    def __init__(self, name: str) -> None:
        self.name = name

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        return None

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        return None

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        return None


PLUGIN = """
    from comfykernel_sdk.hooks import hookimpl

    class Family:
        def __init__(self, name): self.name = name
        def diffusion_plan(self, header): return None
        def text_plan(self, files): return None
        def codec_plan(self, header): return None

    @hookimpl{options}
    def register_model_families(register):
        {body}
"""


def test_families_are_asked_in_the_order_of_their_plugins_and_built_in_ones_last(install_plugin: Install) -> None:
    group = "comfykernel.model_families"
    install_plugin("zebra_plugin", group, PLUGIN.format(options="", body='register(Family("zebra"))'))
    install_plugin("core_plugin", group, PLUGIN.format(options="(trylast=True)", body='register(Family("core"))'))
    install_plugin("yak_plugin", group, PLUGIN.format(options="", body='register(Family("yak"))'))
    use_families(None)
    names = [family.name for family in model_families()]
    assert [name for name in names if name in ("zebra", "core", "yak")] == ["yak", "zebra", "core"]


def test_a_plugin_that_fails_leaves_the_others(install_plugin: Install, caplog: pytest.LogCaptureFixture) -> None:
    group = "comfykernel.model_families"
    install_plugin("broken_plugin", group, "raise ImportError('no such thing')")
    install_plugin("careless_plugin", group, PLUGIN.format(options="", body="register(object())"))
    install_plugin("whole_plugin", group, PLUGIN.format(options="", body='register(Family("whole"))'))
    use_families(None)
    assert "whole" in [family.name for family in model_families()]
    assert "'broken'" in caplog.text
    assert "no such thing" in caplog.text
    assert "lacks a part of a model family: name, diffusion_plan, text_plan, codec_plan" in caplog.text


def test_the_first_of_a_name_stays() -> None:
    first, second = Nothing("same"), Nothing("same")

    def source(register: Callable[[ModelFamily], None]) -> None:
        register(first)
        with pytest.raises(ValueError, match="there is a model family 'same' already"):
            register(second)

    use_families(source)
    assert model_families() == (first,)


def test_a_family_without_configurations_is_no_builder() -> None:
    use_families(lambda register: register(Nothing("plain")))
    with pytest.raises(TypeError, match="'plain'"):
        find_family("plain")
    with pytest.raises(UnknownFamilyError, match="known: plain"):
        find_family("other")
