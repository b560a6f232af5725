"""Where files and models are.

The names of this module are plain variables, as packs read and change them: what a pack puts into
``folder_names_and_paths`` is searched from then on. They are filled when packs are loaded.
"""

from __future__ import annotations

import mimetypes
import os
import time
from collections.abc import Collection, Iterable
from typing import Final, Literal

from comfykernel_compat_comfyui.model_listing import list_files, numbered_place

supported_pt_extensions: set[str] = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}
filename_list_cache: dict[str, tuple[list[str], dict[str, float], float]] = {}

base_path: str = os.getcwd()
models_dir: str = os.path.join(base_path, "models")
output_directory: str = os.path.join(base_path, "output")
temp_directory: str = os.path.join(base_path, "temp")
input_directory: str = os.path.join(base_path, "input")
user_directory: str = os.path.join(base_path, "user")

extension_mimetypes_cache: dict[str, str] = {"webp": "image", "fbx": "model"}

_OLD_NAMES: Final = {"unet": "diffusion_models", "clip": "text_encoders"}
_ANNOTATIONS: Final = ("output", "input", "temp")


def map_legacy(folder_name: str) -> str:
    """The name of today of a folder of models."""
    return _OLD_NAMES.get(folder_name, folder_name)


def get_output_directory() -> str:
    """Folder of results."""
    return output_directory


def get_temp_directory() -> str:
    """Folder of files that are looked at once."""
    return temp_directory


def get_input_directory() -> str:
    """Folder of files that nodes read."""
    return input_directory


def get_user_directory() -> str:
    """Folder of users' files."""
    return user_directory


def set_output_directory(output_dir: str) -> None:
    """Have results of packs written elsewhere."""
    global output_directory
    output_directory = output_dir


def set_temp_directory(temp_dir: str) -> None:
    """Have temporary files of packs written elsewhere."""
    global temp_directory
    temp_directory = temp_dir


def set_input_directory(input_dir: str) -> None:
    """Have packs read their files elsewhere."""
    global input_directory
    input_directory = input_dir


def set_user_directory(user_dir: str) -> None:
    """Have packs look for users' files elsewhere."""
    global user_directory
    user_directory = user_dir


def get_directory_by_type(type_name: str) -> str | None:
    """The folder that clients call ``output``, ``temp`` or ``input``; ``None`` for any other name."""
    folders = {"output": get_output_directory, "temp": get_temp_directory, "input": get_input_directory}
    return folders[type_name]() if type_name in folders else None


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """A name and the folder that it names at its end: ``picture.png [output]``."""
    for kind in _ANNOTATIONS:
        mark = f"[{kind}]"
        if name.endswith(mark):
            return name.removesuffix(mark).removesuffix(" "), get_directory_by_type(kind)
    return name, None


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The path of a file that may name its folder at its end; without one in ``default_dir``, else among inputs.

    Raises:
        ValueError: the name leads out of its folder.
    """
    name, folder = annotated_filepath(name)
    folder = folder or default_dir or get_input_directory()
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.commonpath((os.path.abspath(folder), os.path.abspath(path))) != os.path.abspath(folder):
        raise ValueError(f"The file name {name!r} leads out of {folder}.")
    return path


def exists_annotated_filepath(name: str) -> bool:
    """Whether there is such a file; without a folder at its end among inputs."""
    name, folder = annotated_filepath(name)
    return os.path.exists(os.path.join(folder or get_input_directory(), name))


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    """Search a folder of models in one more place; ``is_default``: before the others."""
    folder_name = map_legacy(folder_name)
    places, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path in places:
        if not is_default or places[0] == full_folder_path:
            return
        places.remove(full_folder_path)
    places.insert(0 if is_default else len(places), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    """The places of a folder of models; raises KeyError."""
    return list(folder_names_and_paths[map_legacy(folder_name)][0])


def recursive_search(directory: str, excluded_dir_names: list[str] | None = None) -> tuple[list[str], dict[str, float]]:
    """Files below a directory by relative name, and the times of all directories in it."""
    return list_files(directory, excluded_dir_names or ())


def filter_files_extensions(files: Iterable[str], extensions: Collection[str]) -> list[str]:
    """Names with one of these endings, sorted; all when there are no endings."""
    return sorted(f for f in files if not extensions or os.path.splitext(f)[1].lower() in extensions)


def filter_files_content_types(
    files: Iterable[str], content_types: Collection[Literal["image", "video", "audio", "model"]]
) -> list[str]:
    """Names whose ending stands for one of these kinds."""
    return [file for file in files if _kind_of(file) in content_types]


def _kind_of(file: str) -> str:
    ending = os.path.splitext(file)[1].lstrip(".").lower()
    return extension_mimetypes_cache.get(ending) or (mimetypes.guess_type(file, strict=False)[0] or "").split("/")[0]


def get_filename_list(folder_name: str) -> list[str]:
    """Names of the models of a folder, sorted; raises KeyError."""
    return get_filename_list_(folder_name)[0]


def get_filename_list_(folder_name: str) -> tuple[list[str], dict[str, float], float]:
    """The names of a folder with the times of its directories and the time of asking."""
    places, endings = folder_names_and_paths[map_legacy(folder_name)]
    names: set[str] = set()
    times: dict[str, float] = {}
    for place in places:
        files, directories = recursive_search(place, excluded_dir_names=[".git"])
        names.update(filter_files_extensions(files, endings))
        times |= directories
    return sorted(names), times, time.perf_counter()


def get_full_path(folder_name: str, filename: str) -> str | None:
    """The path of a model; ``None`` when there is none. A name that leads upwards is read from the folder's root."""
    folder_name = map_legacy(folder_name)
    relative = os.path.relpath(os.path.join("/", filename), "/")
    for place in folder_names_and_paths.get(folder_name, ([], set()))[0]:
        path = os.path.join(place, relative)
        if os.path.isfile(path):
            return path
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    """The path of a model.

    Raises:
        FileNotFoundError: there is none; names the folder and the model.
    """
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"There is no model {filename!r} in the folder {folder_name!r}.")
    return path


def get_input_subfolders() -> list[str]:
    """Folders below the folder of inputs, relative to it, sorted."""
    root = get_input_directory()
    found = (os.path.relpath(path, root).replace(os.sep, "/") for path, _, _ in os.walk(root) if path != root)
    return sorted(found)


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """The place for the next numbered file: folder, name, number, folder relative to ``output_dir``, prefix.

    Raises:
        ValueError: the prefix leads out of ``output_dir``.
    """
    return numbered_place(filename_prefix, output_dir, image_width, image_height)
