"""Reads multipart forms while they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import BadInput

if TYPE_CHECKING:
    from multipart import MultipartSegment  # type: ignore[import-untyped]

    from .request import Request

MAX_PARTS: Final = 100
"""Parts of one form."""

MAX_FIELD: Final = 1024 * 1024
"""Bytes of a part that is no file."""


class UploadedFile:
    """A file of a form with the name that its sender gave it."""

    __slots__ = ("data", "filename")

    def __init__(self, filename: str, data: bytes | bytearray) -> None:
        self.filename = filename
        self.data = data


class Form:
    """Parts of a form; of several with one name the first counts."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.files: dict[str, UploadedFile] = {}

    def add(self, segment: MultipartSegment, data: bytearray) -> None:
        """Take in a part that is complete."""
        name = segment.name or ""
        if segment.filename is not None:
            self.files.setdefault(name, UploadedFile(segment.filename, data))
        elif len(data) > MAX_FIELD:
            raise BadInput(f"The field {name!r} of the form is too long.", type="invalid_form")
        else:
            self.fields.setdefault(name, _text(name, data))


def _text(name: str, data: bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadInput(f"The field {name!r} of the form is no UTF-8 text.", type="invalid_form") from None


async def read_form(request: Request) -> Form:
    """The whole form.

    Raises:
        BadInput: the body is no multipart form, or ends too early.
        TooLarge: it is larger than the server takes.
    """
    from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

    kind, options = parse_options_header(request.header(b"content-type") or "")
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadInput("The body must be a multipart form.", type="invalid_form")
    form = Form()
    segment: MultipartSegment | None = None
    data = bytearray()
    try:
        with PushMultipartParser(options["boundary"], max_segment_count=MAX_PARTS) as parser:
            async for chunk in request.chunks():
                for part in parser.parse(chunk) if chunk else ():
                    if isinstance(part, MultipartSegment):
                        segment, data = part, bytearray()
                    elif part is not None:
                        data += part
                    elif segment is not None:
                        form.add(segment, data)
    except MultipartError as error:
        raise BadInput("The form is damaged or ends too early.", details=str(error), type="invalid_form") from None
    return form
