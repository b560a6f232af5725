"""Model files that are damaged, lie or are dangerous give an error that names the file."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.weight_files import open_weights, read_header

GOOD = save({"a": torch.arange(6.0).view(2, 3), "b": torch.zeros(4, dtype=torch.int64)}, metadata={"made": "here"})


def with_header(header: object, data: bytes = b"\0" * 8) -> bytes:
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_header_tells_shapes_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "good.safetensors"
    path.write_bytes(GOOD)
    file = open_weights(path)
    assert file.shapes == {"a": (2, 3), "b": (4,)}
    assert file.metadata == {"made": "here"}
    assert torch.equal(file.read({"x": "a"})["x"], torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize(
    ("content", "type", "says"),
    [
        (b"", "truncated_checkpoint", "too short"),
        (GOOD[:20], "truncated_checkpoint", "ends inside its header"),
        (GOOD[:-3], "truncated_checkpoint", "ends 3 bytes before tensor"),
        (GOOD + b"x", "invalid_checkpoint", "1 bytes after its last tensor"),
        ((2**62).to_bytes(8, "little") + b"{}", "invalid_checkpoint", "claims a header"),
        ((2).to_bytes(8, "little") + b"[]", "invalid_checkpoint", "not a table"),
        ((3).to_bytes(8, "little") + b"{a}", "invalid_checkpoint", "not JSON"),
        (with_header({"a": entry(dtype="F7")}), "invalid_checkpoint", "unknown dtype 'F7'"),
        (with_header({"a": entry(shape=[-2])}), "invalid_checkpoint", "impossible shape"),
        (with_header({"a": entry(shape=[2.0])}), "invalid_checkpoint", "impossible shape"),
        (with_header({"a": entry(offsets=[8, 0])}), "invalid_checkpoint", "bytes; its shape needs 8"),
        (with_header({"a": entry(shape=[2**40, 2**40])}), "invalid_checkpoint", "its shape needs"),
        (with_header({"a": entry(), "b": entry()}), "invalid_checkpoint", "a gap or an overlap"),
        (with_header({"a": 3}), "invalid_checkpoint", "no description of tensor 'a'"),
    ],
)
def test_damage_is_told_with_the_file_and_a_stable_type(tmp_path: Path, content: bytes, type: str, says: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_weights(path)
    assert caught.value.type == type
    assert says in caught.value.message
    assert str(path) in str(caught.value)
    assert caught.value.hint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_no_single_byte_crashes_the_reader(tmp_path: Path, position: int, value: int, cut: int) -> None:
    path = tmp_path / "changed.safetensors"
    changed = bytearray(GOOD[: len(GOOD) - cut])
    if position < len(changed):
        changed[position] = value
    path.write_bytes(changed)
    try:
        infos, _ = read_header(path)
    except CheckpointError:
        return
    assert all(info.end <= len(changed) for info in infos.values())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file") as caught:
        open_weights(tmp_path / "none.safetensors")
    assert caught.value.type == "checkpoint_not_found"


def test_pickle_of_tensors_is_read_flat(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": {"a": {"b": torch.ones(2)}, "step": 3}}, path)
    assert open_weights(path).shapes == {"a.b": (2,)}


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def test_pickle_with_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(CheckpointError, match="is no tensor") as caught:
        open_weights(path).shapes  # noqa: B018
    assert caught.value.type == "unsafe_checkpoint"
