"""Nodes that describe a camera for nodes that render, and in words."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, TypeAlias, TypedDict

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Out, Socket

camera_node = extra_node("nodes_camera")

Vector: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]
CameraInfo: TypeAlias = Annotated[dict[str, object], Socket("LOAD3D_CAMERA")]
Coordinate: TypeAlias = Annotated[float, Float(default=0.0, min=-1000.0, max=1000.0, step=0.01)]
Place: TypeAlias = Annotated[float, Float(default=4.0, min=-1000.0, max=1000.0, step=0.01)]
Turn: TypeAlias = Annotated[float, Float(default=0.0, min=-1.0, max=1.0, step=0.001)]

ANGLE_DISTANCE: Final = 6.0
ANGLE_FOV: Final = 35.0
"""Distance and field of view (degrees) of cameras that are chosen by their angle."""

LARGEST_ZOOM: Final = 1.875
LARGEST_ZOOM_STEP: Final = 10.0

# From the front, in eighths of a turn.
VIEWS: Final = (
    "front view", "front-right quarter view", "right side view", "back-right quarter view", "back view",
    "back-left quarter view", "left side view", "front-left quarter view",
)  # fmt: skip

# What is said below a limit, in degrees and in steps of zoom.
HEIGHTS: Final = ((-15, "low-angle shot"), (15, "eye-level shot"), (45, "elevated shot"), (math.inf, "high-angle shot"))
DISTANCES: Final = ((2, "wide shot"), (6, "medium shot"), (math.inf, "close-up"))


def _below(value: float, names: tuple[tuple[float, str], ...]) -> str:
    return next(name for limit, name in names if value < limit)


def _around(target: Vector, yaw: float, pitch: float, distance: float) -> Vector:
    """A place around another one; ``yaw`` turns to the right of +z, ``pitch`` up, in degrees; y is up."""
    across, up = math.radians(yaw), math.radians(pitch)
    x, y, z = target
    return (
        x + distance * math.cos(up) * math.sin(across),
        y + distance * math.sin(up),
        z + distance * math.cos(up) * math.cos(across),
    )


def _vector(vector: Vector) -> dict[str, float]:
    return dict(zip("xyz", vector, strict=True))


@camera_node("CameraAngle", category="3d", display_name="Compose Camera Angle Prompt")
def camera_angle(
    horizontal_angle: Annotated[int, Int(default=0, min=0, max=360, display="slider")],
    vertical_angle: Annotated[int, Int(default=0, min=-30, max=60, display="slider")],
    zoom: Annotated[float, Float(default=5.0, min=0.0, max=10.0, step=0.1, display="slider")],
    image: Image | None = None,
) -> tuple[Annotated[CameraInfo, Out("camera_info")], Annotated[str, Out("prompt")]]:
    """Choose from where a subject is seen; gives the camera, and a description such as "back view low-angle shot".

    Args:
        horizontal_angle: degrees around the subject: 0 is the front, 90 its right side.
        vertical_angle: degrees above the subject.
        zoom: 0 shows the surroundings, 10 a detail.
        image: a picture of the subject for the page.
    """
    view = VIEWS[round(horizontal_angle / 45) % len(VIEWS)]
    words = f"{view} {_below(vertical_angle, HEIGHTS)} {_below(zoom, DISTANCES)}"
    origin = (0.0, 0.0, 0.0)
    camera: dict[str, object] = {
        "position": _vector(_around(origin, horizontal_angle, vertical_angle, ANGLE_DISTANCE)),
        "target": _vector(origin),
        "zoom": 1.0 + (LARGEST_ZOOM - 1.0) * zoom / LARGEST_ZOOM_STEP,
        "cameraType": "perspective",
        "fov": ANGLE_FOV,
    }
    return camera, words


class Orbit(TypedDict):
    """On a circle around the target."""

    mode: Literal["orbit"]
    yaw: Annotated[float, Float(default=35.0, min=-360.0, max=360.0, step=0.1)]
    pitch: Annotated[float, Float(default=30.0, min=-89.0, max=89.0, step=0.1)]
    distance: Annotated[float, Float(default=4.0, min=0.01, max=1000.0, step=0.01)]


class LookAt(TypedDict):
    """At a place, towards the target."""

    mode: Literal["look_at"]
    position_x: Place
    position_y: Place
    position_z: Place


class Turned(TypedDict):
    """At a place, turned by a quaternion."""

    mode: Literal["quaternion"]
    position_x: Place
    position_y: Place
    position_z: Place
    quat_x: Turn
    quat_y: Turn
    quat_z: Turn
    quat_w: Annotated[float, Float(default=1.0, min=-1.0, max=1.0, step=0.001)]


@camera_node("CreateCameraInfo", category="3d", display_name="Create Camera Info")
def create_camera_info(
    mode: Annotated[Orbit | LookAt | Turned, Choice(tooltip="How the camera is placed.")],
    target_x: Coordinate = 0.0,
    target_y: Coordinate = 0.0,
    target_z: Coordinate = 0.0,
    roll: Annotated[float, Float(default=0.0, min=-180.0, max=180.0, step=0.1)] = 0.0,
    fov: Annotated[float, Float(default=35.0, min=1.0, max=120.0, step=0.1)] = 35.0,
    zoom: Annotated[float, Float(default=1.0, min=0.01, max=100.0, step=0.01)] = 1.0,
    camera_type: Annotated[str, Choice("perspective", "orthographic", default="perspective")] = "perspective",
) -> Annotated[CameraInfo, Out("camera_info")]:
    """Describe a camera: where it is, where it looks, how wide. Coordinates are right-handed, y is up.

    Raises:
        BadInput: the quaternion is zero.
    """
    target = (target_x, target_y, target_z)
    camera: dict[str, object] = {"zoom": zoom, "fov": fov, "cameraType": camera_type, "roll": roll}
    if mode["mode"] == "orbit":
        camera["position"] = _vector(_around(target, mode["yaw"], mode["pitch"], mode["distance"]))
    else:
        camera["position"] = _vector((mode["position_x"], mode["position_y"], mode["position_z"]))
    if mode["mode"] == "quaternion":
        turn = _unit((mode["quat_x"], mode["quat_y"], mode["quat_z"], mode["quat_w"]))
        camera["quaternion"] = dict(zip("xyzw", turn, strict=True))
        target = _ahead((mode["position_x"], mode["position_y"], mode["position_z"]), turn)
    camera["target"] = _vector(target)
    return camera


def _unit(turn: Quaternion) -> Quaternion:
    length = math.sqrt(sum(part * part for part in turn))
    if length == 0.0:
        raise BadInput("The quaternion is zero.", type="invalid_quaternion", hint="No turn is x = y = z = 0, w = 1.")
    x, y, z, w = (part / length for part in turn)
    return x, y, z, w


def _ahead(place: Vector, turn: Quaternion) -> Vector:
    """A point before a camera, which looks along -z before it is turned."""
    x, y, z, w = turn
    return (
        place[0] - 2.0 * (x * z + w * y),
        place[1] - 2.0 * (y * z - w * x),
        place[2] - (1.0 - 2.0 * (x * x + y * y)),
    )
