"""Files that nodes with a schema show: pictures, sounds, films."""

from __future__ import annotations

import io as files
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from comfykernel_compat_comfyui.missing_names import NotProvided
from comfykernel_compat_comfyui.schema_nodes import saved_audio, schema_definition
from comfykernel_compat_comfyui.shims import folder_paths
from comfykernel_compat_comfyui.shims.comfy_api.latest import InputImpl, Types, io, ui
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.testing import run_node

PICTURES = torch.linspace(0, 1, 3 * 4 * 8 * 3).reshape(3, 4, 8, 3)
EXTRA: Any = {"extra_pnginfo": {"workflow": {"id": "ä"}}}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("output", "temp", "input"):
        (tmp_path / kind).mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(tmp_path / kind))
    return tmp_path


def shown_by(show: Any, **more: Any) -> dict[str, Any]:
    class Saving(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema("Saving", is_output_node=True)

        @classmethod
        def execute(cls) -> io.NodeOutput:
            return io.NodeOutput(ui=show(cls))

    found = run_node(schema_definition(Saving, python_module="m"), extra_data=EXTRA, **more).ui
    assert found is not None
    return dict(found)


def test_pictures_to_look_at(folders: Path) -> None:
    shown = shown_by(lambda cls: ui.PreviewImage(PICTURES, cls=cls))
    assert shown["animated"] == [False]
    assert [image["type"] for image in shown["images"]] == ["temp"] * 3
    with Image.open(folders / "temp" / shown["images"][1]["filename"]) as picture:
        assert picture.size == (8, 4)
        assert picture.getpixel((0, 0)) == tuple(int(v * 255) for v in PICTURES[1, 0, 0])
        assert json.loads(picture.text["workflow"]) == {"id": "ä"}  # type: ignore[attr-defined]
        assert json.loads(picture.text["prompt"])["1"]["class_type"] == "Saving"  # type: ignore[attr-defined]
    mask = shown_by(lambda cls: ui.PreviewMask(torch.full((4, 8), 0.5), cls=cls))["images"]
    with Image.open(folders / "temp" / mask[0]["filename"]) as picture:
        assert (picture.mode, picture.getpixel((3, 3))) == ("RGB", (127, 127, 127))


def test_pictures_among_the_results(folders: Path) -> None:
    def save(cls: Any) -> Any:
        return ui.ImageSaveHelper.get_save_images_ui(PICTURES[:2], "mine/%width%x%height%_%batch_num%", cls=cls)

    shown = shown_by(save)
    assert shown == {
        "images": [
            {"filename": f"8x4_{n}_{n + 1:05}_.png", "subfolder": "mine", "type": "output"} for n in range(2)
        ]
    }  # fmt: skip
    assert sorted(path.name for path in (folders / "output" / "mine").iterdir()) == [
        "8x4_0_00001_.png", "8x4_1_00002_.png",
    ]  # fmt: skip
    quiet = shown_by(save, settings=Settings(execution=ExecutionSettings(disable_metadata=True)))
    with Image.open(folders / "output" / "mine" / quiet["images"][0]["filename"]) as picture:
        assert picture.text == {}  # type: ignore[attr-defined]


def test_pictures_that_move(folders: Path) -> None:
    shown = shown_by(
        lambda cls: ui.ImageSaveHelper.get_save_animated_png_ui(PICTURES, "a", cls=cls, fps=5, compress_level=4)
    )
    assert shown == {"images": [{"filename": "a_00001_.png", "subfolder": "", "type": "output"}], "animated": [True]}
    data = (folders / "output" / "a_00001_.png").read_bytes()
    assert b'comfworkflow\0{"id": "\\u00e4"}' in data
    shown = shown_by(
        lambda cls: ui.ImageSaveHelper.get_save_animated_webp_ui(
            PICTURES, "a", cls=cls, fps=5, lossless=True, quality=80, method=4
        )
    )
    with Image.open(folders / "output" / shown["images"][0]["filename"]) as picture:
        assert (picture.n_frames, picture.format) == (3, "WEBP")  # type: ignore[attr-defined]
        exif = picture.getexif()
        assert exif[0x0110].startswith('prompt:{"1"')
        assert exif[0x010F] == 'workflow:{"id": "\\u00e4"}'


def test_results_made_elsewhere() -> None:
    file = ui.SavedResult("a.mp4", "films", io.FolderType.output)
    assert ui.PreviewVideo([file]).as_dict() == {"images": [dict(file)], "animated": (True,)}
    assert ui.SavedAudios([file]).as_dict() == {"audio": [dict(file)]}
    assert ui.SavedImages([file]).as_dict() == {"images": [dict(file)]}
    assert ui.PreviewText("hello").as_dict() == {"text": ("hello",)}
    model = ui.PreviewUI3D("m.glb", {"zoom": 1}, bg_image=PICTURES).as_dict()["result"]
    assert model[:2] == ["m.glb", {"zoom": 1}]  # type: ignore[index]
    assert str(model[2]).startswith("temp/model_background_")  # type: ignore[index]


def tone(seconds: float = 0.5, channels: int = 2) -> dict[str, Any]:
    time = torch.arange(int(44100 * seconds)) / 44100
    return {"waveform": torch.sin(time * 440 * 2 * math.pi).repeat(1, channels, 1), "sample_rate": 44100}


@pytest.mark.parametrize(("format", "rate"), [("flac", 44100), ("mp3", 44100), ("opus", 48000)])
def test_sounds(folders: Path, format: str, rate: int) -> None:
    av = pytest.importorskip("av")
    shown = shown_by(lambda cls: ui.AudioSaveHelper.get_save_audio_ui(tone(), "s", cls=cls, format=format))
    assert shown == {"audio": [{"filename": f"s_00001_.{format}", "subfolder": "", "type": "output"}]}
    with av.open(str(folders / "output" / f"s_00001_.{format}")) as container:
        stream = container.streams.audio[0]
        texts = {**container.metadata, **stream.metadata}
        assert json.loads(texts["workflow"]) == {"id": "ä"}
        samples = sum(frame.samples for frame in container.decode(stream))
        assert (stream.rate, stream.channels) == (rate, 2)
        assert samples == pytest.approx(0.5 * rate, abs=0.05 * rate)
    if format == "flac":
        heard = shown_by(lambda cls: ui.PreviewAudio(tone(channels=1), cls=cls))["audio"]
        assert heard[0]["type"] == "temp"


def test_sounds_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'wav' is none of flac, mp3, opus"):
        ui.AudioSaveHelper.save_audio(tone(), "s", io.FolderType.output, None, format="wav")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(NotProvided, match="pip install av"):
        saved_audio.media_library()


def test_films(folders: Path) -> None:
    pytest.importorskip("av")
    parts = Types.VideoComponents(images=torch.rand(12, 16, 18, 3), frame_rate=Fraction(12), audio=tone(1.0))  # type: ignore[arg-type]
    path = str(folders / "film.mp4")
    InputImpl.VideoFromComponents(parts).save_to(path, metadata={"prompt": {"1": 2}})
    film = InputImpl.VideoFromFile(path)
    assert (film.get_dimensions(), film.get_frame_count(), film.get_frame_rate()) == ((18, 16), 12, Fraction(12))
    assert film.get_duration() == pytest.approx(1.0, abs=0.05)
    assert "mp4" in film.get_container_format()
    back = film.get_components()
    assert tuple(back.images.shape) == (12, 16, 18, 3)
    assert back.metadata is not None
    assert back.metadata["prompt"] == {"1": 2}
    assert back.audio is not None
    assert back.audio["waveform"].shape[:2] == (1, 2)
    part = film.as_trimmed(0.5, 0.25)
    assert part is not None
    assert (part.get_frame_count(), part.get_duration()) == (3, pytest.approx(0.25))
    assert film.as_trimmed(0.5, 5.0, strict_duration=True) is None
    memory = files.BytesIO(Path(path).read_bytes())
    assert InputImpl.VideoFromFile(memory).get_dimensions() == (18, 16)
    with pytest.raises(ValueError, match="VideoContainer"):
        InputImpl.VideoFromComponents(parts).save_to(path, format="avi")  # type: ignore[arg-type]


def test_values_with_methods(folders: Path) -> None:
    model = Types.File3D(files.BytesIO(b"glTF"), "GLB")
    copied = Types.File3D(model.save_to(folders / "deep" / "m.glb"))
    assert (model.format, model.is_disk_backed, copied.is_disk_backed) == ("glb", False, True)
    assert (copied.format, copied.get_bytes(), copied.get_data().read()) == ("glb", b"glTF", b"glTF")
    mesh = Types.MESH(vertices=torch.zeros(1, 3, 3), faces=torch.zeros(1, 1, 3, dtype=torch.long))
    assert mesh.vertices.shape == (1, 3, 3)
    drawing = Types.SVG([files.BytesIO(b"<svg/>")])
    assert len(Types.SVG.combine(drawing, drawing).data) == 2
    with pytest.raises(TypeError, match="list of BytesIO"):
        Types.SVG("x")  # type: ignore[arg-type]
