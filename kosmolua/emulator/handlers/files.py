"""Uploaded files and signed download links."""

from __future__ import annotations

import hmac
from typing import Any

import msgspec
from werkzeug import Response

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall, ApiRequest, Handler
from kosmolua.emulator.identifiers import sign
from kosmolua.emulator.pages import page
from kosmolua.emulator.world import File

LARGEST = 100 * 1024 * 1024
LONGEST_NAME = 255
# A multipart body is slightly larger than its file.
_WRAPPING = 64 * 1024


def create_file(call: ApiCall) -> dict[str, Any]:
    name, content_type, content = _content(call.request)
    if len(content) > LARGEST:
        raise _too_large()
    if len(name.encode()) > LONGEST_NAME:
        raise problem.invalid([("length", "filename", "Must be at most 255 bytes of UTF-8")])
    file = File(call.world.ids.new(), name, content_type, content, _metadata(call.request), call.now)
    call.world.files[file.id] = file
    return file.show(call.origin)


def _too_large() -> problem.ProblemError:
    return problem.too_large("A file may have at most 100 MiB")


def _content(request: ApiRequest) -> tuple[str, str, bytes]:
    """Name, content type and bytes of the part `content`; separate parts may give the first two."""
    if (request.content_length or 0) > LARGEST + _WRAPPING:
        raise _too_large()
    part, form = request.files.get("content"), request.form
    if part is None and "content" not in form:
        raise problem.invalid([("required", "", "content is required")])
    name = form.get("filename") or (part.filename if part else None) or "file"
    content_type = form.get("type") or (part.content_type if part else None) or "application/octet-stream"
    return name, content_type, part.read() if part else form["content"].encode()


def _metadata(request: ApiRequest) -> dict[str, Any]:
    part = request.files.get("metadata")
    text = part.read() if part else request.form.get("metadata", "{}").encode()
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise problem.invalid([("invalid_type", "metadata", "Must be a JSON object")]) from error


def find_file(call: ApiCall) -> File:
    if call.arguments["file_id"] not in call.world.files:
        raise problem.not_found()
    return call.world.files[call.arguments["file_id"]]


def get_file(call: ApiCall) -> dict[str, Any]:
    return find_file(call).show(call.origin)


def list_files(call: ApiCall) -> dict[str, Any]:
    files = list(reversed(call.world.files.values()))
    return page(call, files, lambda file: file.id, lambda file: file.show(call.origin))


def delete_file(call: ApiCall) -> None:
    del call.world.files[find_file(call).id]


def download_file(call: ApiCall) -> Response:
    given = call.arguments
    expected = sign(call.world.signing_secret, given["owner"], given["file_id"], given["expiry"])
    # A plus sign that is not percent-encoded arrives as a space.
    signed = hmac.compare_digest(expected.encode(), given["signature"].replace(" ", "+").encode())
    if not signed or given["owner"] != call.world.username:
        raise problem.forbidden("The signature does not match owner, file and expiry")
    if call.now >= given["expiry"]:
        raise problem.forbidden("The link has expired")
    file = find_file(call)
    response = Response(file.content, content_type=file.content_type)
    response.headers.set("Content-Disposition", "attachment", filename=file.name)
    return response


HANDLERS: dict[str, Handler] = {
    "create_file": create_file,
    "delete_file": delete_file,
    "download_file": download_file,
    "get_file": get_file,
    "list_files": list_files,
}
