"""Model files in directories that a test names; none to begin with."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidPath, NotFound
from ..file_names import split_path
from ..storage import ModelFile

WEIGHTS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes", "hypernetworks",
    "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
OTHER_ENDINGS = {"configs": frozenset({".yaml"})}


class MemoryModels:
    """A ``ModelStore``."""

    def __init__(self) -> None:
        self._roots: dict[str, list[Path]] = {folder: [] for folder in FOLDERS}

    def folders(self) -> list[str]:
        """Names of the folders."""
        return list(self._roots)

    def roots(self, folder: str) -> list[str]:
        """Where the files of a folder are searched."""
        return [str(root) for root in self._of(folder)]

    def extensions(self, folder: str) -> frozenset[str]:
        """File name endings that count as models there; empty: all."""
        self._of(folder)
        return OTHER_ENDINGS.get(folder, WEIGHTS) if folder in FOLDERS else frozenset()

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder, sorted."""
        return [file.name for file in self.files(folder)]

    def files(self, folder: str) -> list[ModelFile]:
        """The same with sizes and times."""
        endings = self.extensions(folder)
        found: dict[str, ModelFile] = {}
        for index, root in enumerate(self._of(folder)):
            for path in root.rglob("*"):
                if path.is_file() and (not endings or path.suffix.lower() in endings):
                    name, stat = path.relative_to(root).as_posix(), path.stat()
                    found.setdefault(name, ModelFile(name, index, stat.st_size, stat.st_mtime, stat.st_ctime))
        return [found[name] for name in sorted(found)]

    def path(self, folder: str, name: str) -> Path:
        """Path of a model: in the first root that has it."""
        parts = split_path(name)
        if not parts:
            raise InvalidPath("The model name is empty.")
        for root in self._of(folder):
            path = root.joinpath(*parts)
            if path.is_file():
                return path
        raise NotFound(f"There is no model {name!r} in {folder}.", type="unknown_model")

    def add_root(self, folder: str, path: Path, *, first: bool = False) -> None:
        """Search this directory too."""
        roots = self._roots.setdefault(folder, [])
        if path in roots and first:
            roots.remove(path)
        if path not in roots:
            roots.insert(0 if first else len(roots), Path(path))

    def _of(self, folder: str) -> list[Path]:
        if folder not in self._roots:
            raise NotFound(f"There is no model folder {folder!r}.", type="unknown_folder")
        return self._roots[folder]
