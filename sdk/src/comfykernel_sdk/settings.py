"""The settings of a server: one typed struct, filled by the kernel from file, environment and flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from .json_types import JsonObject

S = TypeVar("S")

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Gibibytes: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Mebibytes: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class PathSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where things are. Empty: a folder of that name below ``base`` (``models``, ``input``, ``output``, ...)."""

    base: str = "."
    """Folder that holds all others; relative paths start at the current folder."""
    models: str = ""
    input: str = ""
    output: str = ""
    temp: str = ""
    user: str = ""
    state: str = ""
    """The job database, the cached catalog and the log; by default ``user/comfykernel``."""
    extra_model_paths: tuple[str, ...] = ()
    """Files in the form of ``extra_model_paths.yaml``."""

    def folder(self, name: Literal["models", "input", "output", "temp", "user", "state"]) -> Path:
        """Where a folder is: as set, else at its usual place below ``base`` (``state``: below ``user``)."""
        given = str(getattr(self, name))
        usual = self.folder("user") / "comfykernel" if name == "state" else Path(self.base) / name
        return Path(given) if given else usual


class HttpSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The HTTP transport."""

    listen: str = "127.0.0.1"
    """Address to bind, or several with commas."""
    port: Port = 8188
    cors_origin: str | None = None
    """Origin that browsers may call from; ``*``: any."""
    max_upload_mb: Mebibytes = 100.0
    """Largest body of a request, in MiB."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names accepted besides localhost and loopback addresses."""
    multi_user: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    tls_key_password_file: str = ""
    """File whose first line is the passphrase of an encrypted key."""
    allow_remote_without_token: bool = False
    """Bind beyond loopback though no token protects the server."""


class ExecutionSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How nodes run, in every worker."""

    cpu: bool = False
    """Use no accelerator."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    unet_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    vae_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    text_encoder_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    unet_storage: Literal["file", "fp8_e4m3fn", "fp8_e5m2"] = "file"
    """What weights are rounded to and held in."""
    text_encoder_storage: Literal["file", "fp8_e4m3fn", "fp8_e5m2"] = "file"
    preview_method: Literal["none", "auto", "latent2rgb", "taesd"] = "none"
    preview_size: Positive = 512
    """Longest side of a preview, in pixels."""
    cache: Literal["classic", "lru", "none", "ram"] = "classic"
    cache_size: Count = 0
    """Outputs kept by the ``lru`` policy."""
    cache_ram_gb: Gibibytes = 0.0
    """Memory in GiB that the ``ram`` policy leaves free; 0: 15 % of the machine's."""
    model_memory_gb: Gibibytes = 0.0
    """Memory in GiB that models may take together on their device; larger ones are streamed. 0: what is free less the
    reserve."""
    reserve_memory_gb: Gibibytes = 0.0
    """Memory in GiB that models leave free on their device; 0: what suits its kind."""
    disable_metadata: bool = False
    """Write no prompt into saved files."""
    max_image_pixels: Positive = 256_000_000
    """Larger images are refused before they are decoded."""
    deterministic: bool = False
    threads: Count = 0
    """CPU threads of a worker; 0: as many as there are cores."""


class JobSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Queue and history."""

    keep_history: Count = 10_000
    """Ended jobs kept; the oldest go first."""
    max_attempts: Positive = 2
    """How often a job may be taken by a worker that dies under it."""
    interrupt_grace_s: Seconds = 10.0
    """Seconds that a node has to stop after an interrupt before its worker is killed."""
    secret_keys: tuple[str, ...] = ("auth_token_comfy_org", "api_key_comfy_org")
    """Members of ``extra_data`` that never leave the server."""


class PluginSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which plugins are used."""

    storage: str = "fs"
    scheduler: str = "local"
    transports: tuple[str, ...] = ("http",)
    nodes: tuple[str, ...] = ()
    """Order of node packs when two claim one name; packs not named come after, sorted."""
    disabled: tuple[str, ...] = ()
    """Plugins that are not loaded though they are installed."""
    strict: bool = False
    """Stop at the first plugin that fails."""


class SchedulerSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Workers."""

    devices: tuple[str, ...] = ("auto",)
    """``auto``: each CUDA device, else one CPU worker; or names such as ``cpu``, ``cuda:0``."""
    restart_delay_s: Seconds = 0.5
    """Wait before a dead worker is started again; doubles at each death in a row, up to 30 s."""


class LogSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    to_stdout: bool = False


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All settings. ``plugin`` holds a table for each plugin that has settings of its own."""

    paths: PathSettings = msgspec.field(default_factory=PathSettings)
    http: HttpSettings = msgspec.field(default_factory=HttpSettings)
    execution: ExecutionSettings = msgspec.field(default_factory=ExecutionSettings)
    jobs: JobSettings = msgspec.field(default_factory=JobSettings)
    plugins: PluginSettings = msgspec.field(default_factory=PluginSettings)
    scheduler: SchedulerSettings = msgspec.field(default_factory=SchedulerSettings)
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    plugin: dict[str, JsonObject] = {}

    def of_plugin(self, name: str, type: type[S]) -> S:
        """The table ``[plugin.NAME]`` as a struct of the plugin's own.

        Raises:
            ConfigError: an unknown key or a wrong value.
        """
        from .errors import ConfigError

        try:
            # Not strict: values from the environment are text.
            return msgspec.convert(self.plugin.get(name, {}), type, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"Wrong settings of plugin {name}: {error}", extra_info={"table": f"plugin.{name}"}
            ) from error
