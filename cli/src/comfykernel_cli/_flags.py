"""Every flag that sets something: its names are those of ComfyUI where the meaning is the same."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Section: TypeAlias = Literal["paths", "http", "execution", "plugins", "development", "log"]


class Flag(NamedTuple):
    """A flag and the setting that it stands for.

    ``value`` is what the flag sets when it takes no argument or none that matters here; ``bare`` stands for an
    argument that may be left out; a ``metavar`` with
    ``|`` lists the choices. ``repeat`` collects several values, given one by one or all after one flag. ``prefix`` is
    put before each value.
    """

    name: str
    key: str
    section: Section
    help: str
    metavar: str = ""
    value: object = None
    bare: str = ""
    repeat: bool = False
    prefix: str = ""


def _path(name: str, key: str, help: str) -> Flag:
    return Flag(name, f"paths.{key}", "paths", help, "DIR")


def _precision(name: str, key: str, value: str) -> Flag:
    what = {"precision": "everything", "unet_precision": "the diffusion model", "vae_precision": "the VAE"}
    return Flag(name, f"execution.{key}", "execution", f"Run {what.get(key, 'text encoders')} in {value}.", value=value)


def _storage(name: str, key: str, value: str) -> Flag:
    what = "the diffusion model" if key == "unet_storage" else "text encoders"
    return Flag(name, f"execution.{key}", "execution", f"Hold weights of {what} in 8 bits.", value=value)


FLAGS: Final = (
    _path("--base-directory", "base", "Folder that holds models, input, output, temp and user."),
    _path("--input-directory", "input", "Folder of input files."),
    _path("--output-directory", "output", "Folder of results."),
    _path("--temp-directory", "temp", "Folder of temporary files."),
    _path("--user-directory", "user", "Folder of users' files."),
    _path("--state-directory", "state", "Folder of the job database and the cached catalog."),
    Flag(
        "--extra-model-paths-config", "paths.extra_model_paths", "paths",
        "File with more model folders; repeatable.", "FILE", repeat=True,
    ),
    Flag("--listen", "http.listen", "http", "Address to bind; without ADDR all.", "ADDR", bare="0.0.0.0,::"),
    Flag("--port", "http.port", "http", "Port to listen on.", "PORT"),
    Flag(
        "--allow-remote-without-token", "http.allow_remote_without_token", "http",
        "Listen beyond this machine though no token protects the server.", value=True,
    ),
    Flag("--tls-keyfile", "http.tls_key", "http", "Private key: serve https.", "FILE"),
    Flag("--tls-key-password-file", "http.tls_key_password_file", "http", "Passphrase of the private key.", "FILE"),
    Flag("--tls-certfile", "http.tls_certificate", "http", "Certificate: serve https.", "FILE"),
    Flag("--enable-cors-header", "http.cors_origin", "http", "Let pages of ORIGIN call.", "ORIGIN", bare="*"),
    Flag("--max-upload-size", "http.max_upload_mb", "http", "Largest request in MiB.", "MIB"),
    Flag("--multi-user", "http.multi_user", "http", "Keep users' files apart.", value=True),
    Flag("--cpu", "execution.cpu", "execution", "Use no accelerator.", value=True),
    Flag("--device", "scheduler.devices", "execution", "Device of a worker; repeatable.", "NAME", repeat=True),
    Flag(
        "--cuda-device", "scheduler.devices", "execution", "Number of a CUDA device.", "N", repeat=True, prefix="cuda:"
    ),
    Flag("--preview-method", "execution.preview_method", "execution", "Previews.", "none|auto|latent2rgb|taesd"),
    Flag("--preview-size", "execution.preview_size", "execution", "Longest side of previews.", "PIXELS"),
    _precision("--force-fp32", "precision", "fp32"),
    _precision("--force-fp16", "precision", "fp16"),
    _precision("--fp32-unet", "unet_precision", "fp32"),
    _precision("--bf16-unet", "unet_precision", "bf16"),
    _precision("--fp16-unet", "unet_precision", "fp16"),
    _precision("--fp32-vae", "vae_precision", "fp32"),
    _precision("--bf16-vae", "vae_precision", "bf16"),
    _precision("--fp16-vae", "vae_precision", "fp16"),
    _precision("--fp32-text-enc", "text_encoder_precision", "fp32"),
    _precision("--bf16-text-enc", "text_encoder_precision", "bf16"),
    _precision("--fp16-text-enc", "text_encoder_precision", "fp16"),
    _storage("--fp8_e4m3fn-unet", "unet_storage", "fp8_e4m3fn"),
    _storage("--fp8_e5m2-unet", "unet_storage", "fp8_e5m2"),
    _storage("--fp8_e4m3fn-text-enc", "text_encoder_storage", "fp8_e4m3fn"),
    _storage("--fp8_e5m2-text-enc", "text_encoder_storage", "fp8_e5m2"),
    Flag("--cache-classic", "execution.cache", "execution", "Keep outputs of the last prompt.", value="classic"),
    Flag("--cache-lru", "execution.cache_size", "execution", "Keep the last N outputs.", "N"),
    Flag("--cache-none", "execution.cache", "execution", "Keep no outputs.", value="none"),
    Flag(
        "--cache-ram", "execution.cache_ram_gb", "execution", "Keep outputs while so much memory is free.", "GB",
        bare="0",
    ),
    Flag("--model-memory", "execution.model_memory_gb", "execution", "Memory that models may take together.", "GB"),
    Flag(
        "--lowvram", "execution.model_memory_gb", "execution", "Let models take 2 GiB; larger ones are streamed.",
        value=2.0,
    ),
    Flag(
        "--novram", "execution.model_memory_gb", "execution", "Keep no models: their blocks come when needed.",
        value=0.001,
    ),
    Flag("--reserve-vram", "execution.reserve_memory_gb", "execution", "Memory that models leave free.", "GB"),
    Flag("--disable-metadata", "execution.disable_metadata", "execution", "Save no prompt in files.", value=True),
    Flag("--deterministic", "execution.deterministic", "execution", "Choose repeatable algorithms.", value=True),
    Flag("--storage", "plugins.storage", "plugins", "Storage plugin.", "NAME"),
    Flag("--scheduler", "plugins.scheduler", "plugins", "Scheduler plugin.", "NAME"),
    Flag("--transport", "plugins.transports", "plugins", "Transport plugins, with commas.", "NAMES", repeat=True),
    Flag(
        "--custom-nodes", "plugin.compat_comfyui.custom_nodes", "plugins",
        "Folder of ComfyUI node packs besides BASE/custom_nodes; repeatable.", "DIR", repeat=True,
    ),
    Flag(
        "--disable-all-custom-nodes", "plugin.compat_comfyui.disable_all", "plugins",
        "Load no ComfyUI node packs but whitelisted ones.", value=True,
    ),
    Flag(
        "--whitelist-custom-nodes", "plugin.compat_comfyui.only", "plugins",
        "ComfyUI node packs that are loaded all the same.", "NAME", repeat=True,
    ),
    Flag("--strict", "plugins.strict", "plugins", "Stop at the first plugin that fails.", value=True),
    Flag("--reload", "plugin.devtools.reload", "development", "Start workers anew when a pack changes.", value=True),
    Flag(
        "--reload-directory", "plugin.devtools.reload_folders", "development",
        "Another folder of node packs to watch; repeatable.", "DIR", repeat=True,
    ),
    Flag("--verbose", "log.level", "log", "What is logged.", "debug|info|warning|error", bare="debug"),
    Flag("--log-stdout", "log.to_stdout", "log", "Log to standard output.", value=True),
)  # fmt: skip

ALSO_SET: Final[dict[str, dict[str, object]]] = {
    "--cache-lru": {"execution.cache": "lru"},
    "--cache-ram": {"execution.cache": "ram"},
}
"""Settings that a flag fixes besides its own."""

WITHOUT_EFFECT: Final = """
    --auto-launch --disable-auto-launch --windows-standalone-build --dont-print-server --quick-test-for-ci
    --enable-manager --disable-manager-ui --enable-manager-legacy-ui --gpu-only --highvram --normalvram
    --disable-smart-memory --use-split-cross-attention --use-quad-cross-attention
    --use-pytorch-cross-attention --use-sage-attention --use-flash-attention --disable-xformers
    --force-upcast-attention --dont-upcast-attention --force-channels-last --supports-fp8-compute
    --disable-ipex-optimize --cuda-malloc --disable-cuda-malloc --disable-async-offload --force-non-blocking
    --disable-pinned-memory --mmap-torch-files --disable-mmap --cpu-vae --fp64-unet
    --fp8_e8m0fnu-unet --disable-api-nodes --enable-compress-response-body --disable-assets-autoscan
""".split()
"""Flags that launchers of ComfyUI pass: accepted, and named in the log."""

WITHOUT_EFFECT_WITH_VALUE: Final = """
    --front-end-version --front-end-root --default-hashing-function --comfy-api-base --database-url
    --default-device --directml --oneapi-device-selector --async-offload --fast
""".split()
"""The same with an argument, several, or none."""
