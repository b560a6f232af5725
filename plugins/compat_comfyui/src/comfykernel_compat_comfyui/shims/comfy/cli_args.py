"""The flags of the command line, as far as packs read them."""

from __future__ import annotations

import argparse
import enum
from typing import TYPE_CHECKING, Any, Final

from comfykernel_compat_comfyui.missing_names import missing_attribute

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings


class LatentPreviewMethod(enum.Enum):
    """How previews are made."""

    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"

    @classmethod
    def from_string(cls, value: str) -> LatentPreviewMethod | None:
        """The method of this name."""
        return next((method for method in cls if method.value == value), None)


class PerformanceFeature(enum.Enum):
    """Speed-ups that may be switched on; none is."""

    Fp16Accumulation = "fp16_accumulation"
    Fp8MatrixMultiplication = "fp8_matrix_mult"
    CublasOps = "cublas_ops"
    AutoTune = "autotune"


class Flags(argparse.Namespace):
    """What was said on the command line."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.cli_args.args", name)


_OFF: Final = """
    gpu_only highvram normalvram lowvram novram force_fp32 force_fp16 fp32_unet fp64_unet bf16_unet fp16_unet
    fp8_e4m3fn_unet fp8_e5m2_unet fp8_e8m0fnu_unet fp16_vae fp32_vae bf16_vae cpu_vae fp8_e4m3fn_text_enc
    fp8_e5m2_text_enc fp16_text_enc fp32_text_enc bf16_text_enc force_channels_last use_split_cross_attention
    use_quad_cross_attention use_sage_attention use_flash_attention disable_xformers force_upcast_attention
    dont_upcast_attention disable_smart_memory dont_print_server quick_test_for_ci windows_standalone_build
    disable_all_custom_nodes disable_api_nodes auto_launch enable_manager disable_ipex_optimize
    supports_fp8_compute cuda_malloc disable_cuda_malloc force_non_blocking async_offload mmap_torch_files
    disable_mmap enable_compress_response_body
""".split()
_NOTHING: Final = (
    "directml oneapi_device_selector cuda_device default_device reserve_vram extra_model_paths_config front_end_root "
    "tls_keyfile tls_certfile user_directory temp_directory output_directory input_directory base_directory verbose"
).split()

args = Flags(
    **dict.fromkeys(_OFF, False), **dict.fromkeys(_NOTHING, None),
    listen="127.0.0.1", port=8188, cpu=False, preview_method=LatentPreviewMethod.NoPreviews, preview_size=512,
    disable_metadata=False, deterministic=False, multi_user=False, fast=set(), cache_lru=0, cache_none=False,
    cache_classic=True, use_pytorch_cross_attention=True, max_upload_size=100, whitelist_custom_nodes=[],
    enable_cors_header=None, log_stdout=False, comfy_api_base="",
)  # fmt: skip


def use_settings(settings: Settings) -> None:
    """Fill in what the settings say."""
    execution, http = settings.execution, settings.http
    args.listen, args.port = http.listen, http.port
    args.enable_cors_header, args.multi_user = http.cors_origin, http.multi_user
    args.tls_keyfile, args.tls_certfile = http.tls_key or None, http.tls_certificate or None
    args.max_upload_size = http.max_upload_mb
    args.cpu, args.deterministic = execution.cpu, execution.deterministic
    args.preview_method = LatentPreviewMethod(execution.preview_method)
    args.preview_size, args.disable_metadata = execution.preview_size, execution.disable_metadata
    args.cache_none, args.cache_classic = execution.cache == "none", execution.cache == "classic"
    args.cache_lru = execution.cache_size if execution.cache == "lru" else 0
    paths = settings.paths
    args.base_directory = paths.base if paths.base != "." else None
    for name in ("user", "temp", "output", "input"):
        setattr(args, f"{name}_directory", getattr(paths, name) or None)
