"""The types of values that only links carry, each with ``Input``, ``Output`` and ``Type``."""

from __future__ import annotations

from typing import Any, Final

from .io_types import ComfyTypeIO, comfytype

WIRE_NAMES: Final = {
    "Image": "IMAGE", "Mask": "MASK", "Latent": "LATENT", "Conditioning": "CONDITIONING", "Sampler": "SAMPLER",
    "Sigmas": "SIGMAS", "Noise": "NOISE", "Guider": "GUIDER", "Clip": "CLIP", "ControlNet": "CONTROL_NET",
    "Vae": "VAE", "Model": "MODEL", "ClipVision": "CLIP_VISION", "ClipVisionOutput": "CLIP_VISION_OUTPUT",
    "StyleModel": "STYLE_MODEL", "Gligen": "GLIGEN", "UpscaleModel": "UPSCALE_MODEL",
    "LatentUpscaleModel": "LATENT_UPSCALE_MODEL", "Audio": "AUDIO", "Video": "VIDEO", "SVG": "SVG",
    "LoraModel": "LORA_MODEL", "LossMap": "LOSS_MAP", "Voxel": "VOXEL", "Mesh": "MESH", "Splat": "SPLAT",
    "File3DAny": "FILE_3D", "File3DGLB": "FILE_3D_GLB", "File3DGLTF": "FILE_3D_GLTF", "File3DFBX": "FILE_3D_FBX",
    "File3DOBJ": "FILE_3D_OBJ", "File3DSTL": "FILE_3D_STL", "File3DUSDZ": "FILE_3D_USDZ", "Hooks": "HOOKS",
    "HookKeyframes": "HOOK_KEYFRAMES", "TimestepsRange": "TIMESTEPS_RANGE", "LatentOperation": "LATENT_OPERATION",
    "FlowControl": "FLOW_CONTROL", "Accumulation": "ACCUMULATION", "Load3DCamera": "LOAD3D_CAMERA",
    "Load3D": "LOAD_3D", "Load3DAnimation": "LOAD_3D_ANIMATION", "Photomaker": "PHOTOMAKER", "Point": "POINT",
    "FaceAnalysis": "FACE_ANALYSIS", "BBOX": "BBOX", "SEGS": "SEGS", "ModelPatch": "MODEL_PATCH",
    "AudioEncoder": "AUDIO_ENCODER", "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT", "Tracks": "TRACKS",
    "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING", "Dict": "DICT", "Array": "ARRAY", "AnyType": "*",
}  # fmt: skip
"""Name in ``io`` -> name on the wire."""

OTHER_NAMES: Final = {"VAE": "Vae", "CLIP": "Clip", "MODEL_PATCH": "ModelPatch"}
"""Further names in ``io`` under which packs know a type."""


def _declared(name: str, io_type: str) -> type[ComfyTypeIO]:
    members = {"Type": Any, "__module__": __name__, "__doc__": f"Values of type {io_type}."}
    return comfytype(io_type)(type(name, (ComfyTypeIO,), members))


TYPES: Final[dict[str, type[ComfyTypeIO]]] = {name: _declared(name, wire) for name, wire in WIRE_NAMES.items()}
TYPES.update({other: TYPES[name] for other, name in OTHER_NAMES.items()})
