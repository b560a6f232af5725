"""Small behaviour of the contract's records."""

from __future__ import annotations

import msgspec
import pytest

from comfykernel_sdk.context import current_context
from comfykernel_sdk.errors import BadInput, ComfykernelError, ConfigError, Interrupted, InvalidPrompt, NotFound
from comfykernel_sdk.events import NodePlace
from comfykernel_sdk.jobs import Job, JobState
from comfykernel_sdk.settings import Settings
from comfykernel_sdk.storage import FileRef, NumberedName


def test_errors_carry_what_machines_and_people_need() -> None:
    error = NotFound("No file.", details="a.png", hint="Upload it.", extra_info={"name": "a.png"})
    assert (error.type, error.message, str(error)) == ("not_found", "No file.", "No file. a.png Upload it.")
    assert isinstance(error, BadInput)
    assert isinstance(error, ComfykernelError)
    assert NotFound("x", type="unknown_file").type == "unknown_file"
    assert InvalidPrompt("x", node_errors={"1": {}}).node_errors == {"1": {}}
    assert not issubclass(Interrupted, Exception)


def test_no_context_outside_of_a_node() -> None:
    with pytest.raises(LookupError, match="No node runs here"):
        current_context()


def test_numbered_names() -> None:
    place = NumberedName("img%batch_num%", "sub", 41, "temp")
    assert place.ref(".png") == FileRef("img0_00041_.png", "sub", "temp")
    assert place.ref(".webp", offset=2, batch_number=7) == FileRef("img7_00043_.webp", "sub", "temp")


def test_places() -> None:
    assert NodePlace("1", "1").real() == "1"
    assert NodePlace("1.x", "1", "1", "1").real() == "1"


@pytest.mark.parametrize(
    ("extra", "id"),
    [
        ({}, None),
        ({"extra_pnginfo": None}, None),
        ({"extra_pnginfo": {"workflow": {"id": 5}}}, None),
        ({"extra_pnginfo": {"workflow": {"id": "w"}}}, "w"),
    ],
)
def test_the_workflow_of_a_job(extra: dict[str, object], id: str | None) -> None:
    job = Job(prompt_id="p", number=1, graph={}, extra_data=extra)  # type: ignore[arg-type]
    assert job.workflow_id == id


def test_states_that_end() -> None:
    assert [state for state in JobState if state.ended] == [JobState.DONE, JobState.FAILED, JobState.CANCELLED]


class OwnSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of a plugin."""

    size: int = 3


def test_settings_of_a_plugin() -> None:
    settings = Settings(plugin={"mine": {"size": 5}, "wrong": {"sizes": 5}})
    assert settings.of_plugin("mine", OwnSettings).size == 5
    assert settings.of_plugin("absent", OwnSettings).size == 3
    with pytest.raises(ConfigError, match="wrong"):
        settings.of_plugin("wrong", OwnSettings)
