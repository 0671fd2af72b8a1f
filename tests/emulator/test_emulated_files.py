from __future__ import annotations

import hashlib
import json

import pytest

from kosmolua.emulator import Emulator


def upload(api, content=b"id\n1\n", name="data.csv", kind="text/csv", **fields):
    return api.post("/files", files={"content": (name, content, kind)}, data=fields)


def test_a_file_keeps_name_type_checksums_and_metadata(api):
    """An upload has its bytes' size and checksums, and expires after a day."""
    made = upload(api, metadata=json.dumps({"set": 1}))
    file = made.json()

    assert 201 == made.status_code
    assert ("data.csv", "text/csv", 5, {"set": 1}) == (
        file["name"],
        file["content_type"],
        file["size"],
        file["metadata"],
    )
    assert hashlib.sha256(b"id\n1\n").hexdigest() == file["checksums"]["sha256"]
    assert hashlib.md5(b"id\n1\n").hexdigest() == file["checksums"]["md5"]
    assert f"http://emulator.localhost/v1/files/{file['id']}" == file["urls"]["get"]
    assert ("2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z") == (file["created_at"], file["expires_at"])
    assert file == api.get(file["urls"]["get"]).json()


def test_metadata_as_a_json_part(api):
    """JavaScript sends the metadata as a part of type application/json."""
    parts = {"content": ("a.bin", b"\0"), "metadata": ("blob", b'{"a": 1}', "application/json")}

    assert {"a": 1} == api.post("/files", files=parts).json()["metadata"]


def test_name_and_type_as_form_fields(api):
    """The form fields `filename` and `type` override those of the part."""
    file = upload(api, filename="fïle.txt", type="text/plain").json()

    assert ("fïle.txt", "text/plain") == (file["name"], file["content_type"])


@pytest.mark.parametrize("fields", [{"metadata": "[]"}, {"metadata": "{"}, {"filename": "x" * 256}])
def test_invalid_uploads_are_refused(fields, api):
    """Metadata that is not an object, or a name that is too long, gives 422."""
    assert 422 == upload(api, **fields).status_code


def test_an_upload_without_content_is_refused(api):
    """An upload needs the part `content`."""
    assert 422 == api.post("/files", data={"filename": "x"}).status_code


def test_a_file_that_is_too_large(api):
    """An upload above 100 MiB is refused before its body is read."""
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(101 * 1024 * 1024)}

    assert 413 == api.post("/files", content=b"--x", headers=headers).status_code


def test_files_are_listed_deleted_and_expire(api, clock):
    """The list shows the newest file first; deleted files and files older than a day are not listed."""
    first, second = (upload(api, name=name).json()["id"] for name in ("a", "b"))
    listed = [file["id"] for file in api.get("/files").json()["results"]]
    deleted = api.delete(f"/files/{first}")
    clock.advance(24 * 3600)

    assert [second, first] == listed
    assert (204, b"") == (deleted.status_code, deleted.content)
    assert 404 == api.get(f"/files/{first}").status_code
    assert [] == api.get("/files").json()["results"]


def test_pages_of_files(api):
    """A list page has 25 files."""
    ids = [upload(api).json()["id"] for _ in range(30)][::-1]
    first = api.get("/files").json()

    assert ids == [file["id"] for page in (first, api.get(first["next"]).json()) for file in page["results"]]


def test_a_signed_link_gives_the_bytes(api, emulator, clock):
    """The signature of owner, id and expiry is valid until that expiry."""
    file = upload(api).json()
    expiry = int(clock.time()) + 60
    query = emulator.sign_download(file["id"], expiry)
    url = f"/files/{file['id']}/download"
    fresh = api.get(url, params=query)
    forged = api.get(url, params={**query, "expiry": expiry + 1})
    foreign = api.get(url, params={**query, "owner": "alice"})
    clock.advance(61)

    assert (200, b"id\n1\n", "text/csv") == (
        fresh.status_code,
        fresh.content,
        fresh.headers["content-type"].split(";")[0],
    )
    assert [403, 403, 403] == [one.status_code for one in (forged, foreign, api.get(url, params=query))]


def test_an_uploaded_picture_is_an_input(api, world):
    """A model can read an uploaded file by its URL."""
    painted = world.run(
        api, "black-forest-labs/flux-schnell", {"prompt": "x", "width": 16, "height": 16}, Prefer="wait"
    )
    png = api.get(painted.json()["output"][0]).content
    file = upload(api, png, "x.png", "image/png").json()
    upscaler = api.get("/models/nightmareai/real-esrgan").json()["latest_version"]["id"]
    body = {"version": upscaler, "input": {"image": file["urls"]["get"]}}

    assert "succeeded" == api.post("/predictions", json=body, headers={"Prefer": "wait"}).json()["status"]


def test_an_emulator_with_a_capacity_refuses_when_full(clock, world):
    """An emulator in a host's process accepts requests up to its capacity; reads still work after that."""
    with world.connect(Emulator(clock=clock, capacity=20_000)) as api:
        taken = [upload(api, content=b"x" * 6_000).status_code for _ in range(5)]
        small = api.post("/predictions", json={"version": world.hello_version, "input": {"text": "x"}})

        assert [201, 201, 201, 413, 413] == taken
        assert (413, "Request entity too large") == (small.status_code, small.json()["title"])
        assert 3 == len(api.get("/files").json()["results"])
