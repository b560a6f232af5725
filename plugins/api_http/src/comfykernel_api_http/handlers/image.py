"""Images and other files: /view, /upload/image, /upload/mask."""

from __future__ import annotations

import asyncio
import os
import posixpath
from typing import TYPE_CHECKING, BinaryIO, Final

from comfykernel_sdk.errors import BadInput, Forbidden, InvalidPath, NotFound
from comfykernel_sdk.storage import FILE_KINDS, FileInfo, FileKind, FileRef

from ..answers import Answer, json_answer
from ..form_reading import read_form
from ..json_reading import as_object, decode_json
from ..media_types import safe_media_type
from ..pictures import make_preview, put_mask, take_channel
from ..schemas import UploadResponse
from ..stored_files import disposition, file_answer

if TYPE_CHECKING:
    from comfykernel_sdk.storage import FileStore

    from ..form_reading import Form, UploadedFile
    from ..request import Request

OVERWRITE: Final = ("true", "1")
MAX_REFERENCE: Final = 10_000
"""Bytes of the JSON object that names a picture."""


async def view_image(request: Request) -> Answer:
    """GET /view: a file as stored, a preview of it, or one of its channels."""
    query = request.query
    ref = viewed_file(query)
    await _check_owner(request, ref)
    files = request.services.kernel.files
    pixels = request.services.kernel.settings.execution.max_image_pixels
    preview, channel = query.get("preview"), query.get("channel", "")
    if preview is not None or channel in ("rgb", "a"):
        async with request.services.pictures:
            return await asyncio.to_thread(_picture, files, ref, preview, channel, pixels)
    media, download = safe_media_type(ref.filename)
    headers = [disposition(ref.filename, download=download)]
    return await asyncio.to_thread(file_answer, lambda: _open(files, ref), request.headers, media, headers)


def viewed_file(query: dict[str, str]) -> FileRef:
    """The file that the parameters of /view name.

    Raises:
        NotFound: no file is named.
        InvalidPath: the name is empty or has two dots, or the type is unknown.
    """
    if "filename" not in query:
        raise NotFound("No file is named.", hint="Give its name as the parameter filename.", type="no_filename")
    name, kind = split_kind(query["filename"])
    if not name or name.startswith("/") or ".." in name:
        raise InvalidPath("This can't be the name of a file.", details=query["filename"])
    return FileRef(posixpath.basename(name), query.get("subfolder", ""), kind or _kind(query.get("type", "output")))


def split_kind(name: str) -> tuple[str, FileKind | None]:
    """A file name without the kind that it may end in (`` [input]``), and that kind."""
    for kind in FILE_KINDS:
        if name.endswith(f"[{kind}]"):
            return name[: -len(kind) - 3], kind
    return name, None


async def upload_image(request: Request) -> Answer:
    """POST /upload/image: store a file; a name that is taken gives a new one."""
    form = await read_form(request)
    return await _store(request, form, _image_of(form).data)


async def upload_mask(request: Request) -> Answer:
    """POST /upload/mask: put the alpha of a picture on a stored one and keep the result as a new file."""
    form = await read_form(request)
    mask = _image_of(form).data
    original = _original(form)
    if not await asyncio.to_thread(request.services.owners.may_use, original, request.bound_user):
        raise BadInput("The original can't be read.", details=original.filename, type="no_original")
    pixels = request.services.kernel.settings.execution.max_image_pixels
    files = request.services.kernel.files

    def masked() -> bytes:
        try:
            with files.open(original) as stream:
                return put_mask(stream, mask, max_pixels=pixels)
        except (NotFound, Forbidden) as error:
            raise BadInput("The original can't be read.", details=error.message, type="no_original") from None

    async with request.services.pictures:
        data = await asyncio.to_thread(masked)
    return await _store(request, form, data)


async def _check_owner(request: Request, ref: FileRef) -> None:
    """Let nobody who is bound to a user see the file of another.

    Raises:
        NotFound: it is another user's.
    """
    user = request.bound_user
    if user is not None and not await asyncio.to_thread(request.services.owners.may_use, ref, user):
        raise NotFound(f"There is no {ref.type} file {ref.filename}.", type="unknown_file")


def _image_of(form: Form) -> UploadedFile:
    image = form.files.get("image")
    if image is None:
        raise BadInput("The form has no file named image.", type="no_image")
    if not image.filename:
        raise BadInput("The uploaded file has no name.", type="no_filename")
    return image


def _original(form: Form) -> FileRef:
    text = form.fields.get("original_ref", "").encode()
    if len(text) > MAX_REFERENCE:
        raise BadInput("original_ref is too long.", details=f"At most {MAX_REFERENCE} bytes.", type="too_long")
    reference = as_object(decode_json(text))
    name, subfolder = reference.get("filename"), reference.get("subfolder") or ""
    if not isinstance(name, str) or not name or not isinstance(subfolder, str):
        raise BadInput("The member filename of original_ref must be a text.", type="invalid_original_ref")
    name, kind = split_kind(name)
    if ".." in name:
        raise InvalidPath("This can't be the name of a file.", details=name)
    return FileRef(posixpath.basename(name), subfolder, kind or _kind(str(reference.get("type") or "output")))


async def _store(request: Request, form: Form, data: bytes | bytearray) -> Answer:
    subfolder = form.fields.get("subfolder", "")
    ref = FileRef(_image_of(form).filename, subfolder, _kind(form.fields.get("type", "input")))
    overwrite = form.fields.get("overwrite") in OVERWRITE
    files, owners, user = request.services.kernel.files, request.services.owners, request.bound_user

    def write() -> FileRef:
        # Another user's file is not replaced: a name that is taken gives a new one.
        written = files.write(ref, data, overwrite=overwrite and owners.may_use(ref, user))
        if user is not None:
            owners.note([written], user)
            owners.write()
        return written

    try:
        written = await asyncio.to_thread(write)
    except Forbidden as error:
        raise InvalidPath(error.message, details=error.details, hint=error.hint) from None
    return json_answer(UploadResponse(name=written.filename, subfolder=subfolder, type=ref.type))


def _kind(text: str) -> FileKind:
    if text not in FILE_KINDS:
        raise BadInput(
            "There is no such type of file.", details=text, hint=f"One of {', '.join(FILE_KINDS)}.", type="unknown_type"
        )
    return text


def _open(files: FileStore, ref: FileRef) -> tuple[FileInfo, BinaryIO]:
    stream = files.open(ref)
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # a storage whose streams are no files of this machine
        return files.info(ref), stream
    return FileInfo(ref, found.st_size, found.st_mtime), stream


def _picture(files: FileStore, ref: FileRef, preview: str | None, channel: str, max_pixels: int) -> Answer:
    headers = [disposition(ref.filename)]
    with files.open(ref) as stream:
        if preview is None:
            return Answer(take_channel(stream, channel, max_pixels=max_pixels), media=b"image/png", headers=headers)
        data, media = make_preview(stream, preview, channel, max_pixels=max_pixels)
    return Answer(data, media=media.encode(), headers=headers)
