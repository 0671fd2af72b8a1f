"""Files as inputs, and outputs that are saved to disk completely or not at all."""

import base64
import hashlib
import json
import socket
import threading
import tracemalloc

import pytest

from kosmolua.errors import ScriptError, UsageError
from kosmolua.gate.files import Files
from kosmolua.gate.uploads import MAX_INLINE

UPSCALE = "nightmareai/real-esrgan"


def paint(flow):
    """A picture from the emulator on this machine, saved by a script."""
    flow("""
      local images = run("black-forest-labs/flux-schnell", { prompt = "dusk", seed = 1, width = 32, height = 32 })
      download(images[1], "in.png")
    """)
    flow.server.requests.clear()
    return (flow.directory / "in.png").read_bytes()


def test_a_small_file_is_sent_as_a_data_url(flow):
    """A small file is sent in the request with its MIME type, without an upload."""
    content = paint(flow)
    given = flow(f'local _, p = run("{UPSCALE}", {{ image = file("in.png"), scale = 2 }}) return p.input.image')

    assert f"data:image/png;base64,{base64.b64encode(content).decode()}" == given
    assert 0 == flow.server.count("POST", "/files")


def test_a_large_file_is_uploaded_once(flow):
    """A file above 256 kB is uploaded once per content, for any number of predictions and names."""
    content = paint(flow) + b"\0" * MAX_INLINE
    (flow.directory / "a.png").write_bytes(content)
    (flow.directory / "b.png").write_bytes(content)
    inputs = flow(f"""
      return parallel({{ "a.png", "b.png", "a.png" }}, function(name)
        local _, p = run("{UPSCALE}", {{ image = file(name), scale = 2 }})
        return p.input.image
      end)
    """)

    assert 1 == len({*inputs})
    assert inputs[0].startswith(flow.url)
    assert 1 == flow.server.count("POST", "/files")
    assert ["create_file"] == [entry.function for entry in flow.log if "file" in entry.function]


@pytest.mark.parametrize("form", ["content = file('a.bin')", "path = 'a.bin'"])
def test_an_upload_is_read_while_it_is_being_sent(flow, form):
    """A file of 40 MB takes little memory, arrives unchanged, and keeps its name."""
    content = bytes(range(256)) * 160_000
    (flow.directory / "a.bin").write_bytes(content)
    seen = Taking()
    flow.visit(seen)
    tracemalloc.start()
    try:
        size = flow(f"return replicate.create_file{{ {form} }}.size")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(content) == size
    assert most < 8 << 20
    assert hashlib.sha256(content).hexdigest() == seen.digest.hexdigest()
    assert b'filename="a.bin"' in seen.before


class Taking:
    """A server that reads an upload in pieces, and keeps the digest of its file."""

    def __call__(self, environ, start_response):
        left, size = int(environ["CONTENT_LENGTH"]), 0
        stream, self.digest, rest = environ["wsgi.input"], hashlib.sha256(), b""
        while left and b"\r\n\r\n" not in rest:
            rest += stream.read(min(left, 1000))
            left = int(environ["CONTENT_LENGTH"]) - len(rest)
        self.before, _, rest = rest.partition(b"\r\n\r\n")
        end = len(b"\r\n" + self.before.partition(b"\r\n")[0] + b"--\r\n")
        while left or len(rest) > end:
            self.digest.update(rest[:-end])
            size += len(rest[:-end])
            rest = rest[-end:]
            piece = stream.read(min(left, 65536))
            left -= len(piece)
            rest += piece
        start_response("201 Created", [("Content-Type", "application/json")])
        return [json.dumps({"id": "f", "size": size, "urls": {"get": "x"}}).encode()]

    def close(self):
        pass


def test_a_file_that_is_not_open_is_not_uploaded(flow):
    """Neither form of upload sends a file that is not open to the script, as for inputs."""
    (flow.directory.parent / "secret.txt").write_text("hello")
    for form in ("content = file('../secret.txt')", "path = '../secret.txt'"):
        with pytest.raises(ScriptError, match="is not in a directory that the script may read from"):
            flow(f"return replicate.create_file{{ {form} }}")
    assert 0 == flow.server.count("POST", "/files")


def test_a_file_that_changes_while_it_is_being_sent(tmp_path):
    """The upload fails, because it would have neither the old nor the new content."""
    (tmp_path / "a.bin").write_bytes(b"x" * 1_000_000)
    for changed in (b"x" * 999_999, b"x" * 1_000_001):
        (tmp_path / "a.bin").write_bytes(b"x" * 1_000_000)
        content = Files([str(tmp_path)], base=str(tmp_path)).content("a.bin")
        pieces = content.pieces()
        next(pieces)
        (tmp_path / "a.bin").write_bytes(changed)

        with pytest.raises(UsageError, match="changed while it was read"):
            list(pieces)


def test_a_file_can_be_an_argument_of_any_function(flow):
    """A file can be anywhere in an input, also if a script calls the API's function directly."""
    (flow.directory / "a.txt").write_text("hello")
    sent = flow("""
      return replicate.create_prediction {
        version = "replicate/hello-world:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
        input = { text = "x", more = { list = { file("a.txt") } } },
      }.input
    """)

    assert {"list": ["data:text/plain;base64,aGVsbG8="]} == sent["more"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('file("/etc/passwd")', "is not in a directory that the script may read from"),
        ('file("../x")', "is not in a directory that the script may read from"),
        ('file("missing.png")', "No such file"),
    ],
)
def test_files_that_are_not_open_to_the_script(flow, call, words):
    """No path leads out of the open directories, and nothing is sent."""
    with pytest.raises(ScriptError, match=words):
        flow(f'run("{UPSCALE}", {{ image = {call} }})')

    assert 0 == flow.server.count("POST", "predictions")


def test_a_string_is_not_a_path(flow):
    """Text that looks like a path is sent as text."""
    (flow.directory / "a.txt").write_text("secret")

    assert "hello a.txt" == flow('return (run("replicate/hello-world", { text = "a.txt" }))')


def test_a_file_of_this_machine_is_not_returned(flow):
    """A local file cannot be a result, because it has no form outside the script."""
    with pytest.raises(ScriptError, match=r"no JSON form - at `result\[1\].x`"):
        flow('return { x = file("a.txt") }')


def test_a_list_is_saved_under_names(flow):
    """The list is saved in a directory, each file under its number and name."""
    (flow.directory / "out").mkdir()
    saved = flow("""
      local images = run("black-forest-labs/flux-schnell", { prompt = "x", num_outputs = 3, width = 16, height = 16 })
      return download(images, "out/")
    """)

    names = ["out/1-out-0.png", "out/2-out-1.png", "out/3-out-2.png"]
    assert names == [one["path"] for one in saved]
    contents = [(flow.directory / name).read_bytes() for name in names]
    assert [hashlib.sha256(content).hexdigest() for content in contents] == [one["sha256"] for one in saved]


def test_a_data_url_is_saved_without_the_network(flow):
    """The content comes from the URL itself."""
    saved = flow('return download("data:text/plain;base64,aGVsbG8=", "hello.txt")')

    assert ("text/plain", 5) == (saved["content_type"], saved["size"])
    assert b"hello" == (flow.directory / "hello.txt").read_bytes()
    assert [] == flow.server.requests


@pytest.mark.parametrize("url", ["https://evil.example/x", "http://replicate.delivery/x", "file:///etc/passwd", "x"])
def test_a_script_can_fetch_only_from_replicate(flow, url):
    """Other addresses are refused, because a script could send data to them."""
    with pytest.raises(ScriptError, match=r"not an address of Replicate|expected a URL"):
        flow(f'download("{url}", "x")')

    assert [] == [path.name for path in flow.directory.glob("*x")]


class Server:
    """A server for a file: ``plan`` lists how many bytes each connection sends before closing."""

    def __init__(self, content, plan, *, ranges=True, headers="", length=None):
        self._content, self._plan, self._ranges, self._more = content, list(plan), ranges, headers
        self._length = length
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.asked = []
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{self.origin}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def _serve(self):
        for most in self._plan:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection, most)

    def _answer(self, connection, most):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        wanted = next((line[13:-1] for line in head.decode().split("\r\n") if line.startswith("Range: bytes=")), "")
        self.asked.append(wanted)
        start = int(wanted) if wanted and self._ranges else 0
        rest, size = self._content[start:], len(self._content)
        length = self._length or len(rest)
        status = f"206 Part\r\nContent-Range: bytes {start}-{size - 1}/{size}" if start else "200 OK"
        connection.sendall(
            f'HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: "a"\r\n{self._more}\r\n'.encode() + rest[:most]
        )


CONTENT = bytes(range(256)) * 40


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_resumed(flow, ranges):
    """A download that is cut repeatedly is complete in the end: it is continued, or restarted if the server has no
    ranges.
    """
    server = Server(CONTENT, [3000, 0, 2000, 100_000] if ranges else [3000, 100_000], ranges=ranges)
    flow.serve()
    flow.url = server.url
    saved = flow(f'return download("{server.origin}/x", "whole.bin")')
    server.close()

    assert CONTENT == (flow.directory / "whole.bin").read_bytes()
    assert hashlib.sha256(CONTENT).hexdigest() == saved["sha256"]
    assert (["", "3000", "3000", "5000"] if ranges else ["", "3000"]) == server.asked


def test_an_invalid_length(flow):
    """A download with an impossible length is refused, and no file is left."""
    server = Server(CONTENT, [100_000] * 5, length="9" * 5000)
    flow.serve()
    flow.url = server.url
    with pytest.raises(ScriptError, match="Content-Length"):
        flow(f'download("{server.origin}/x", "whole.bin")')
    server.close()

    assert 5 == len(server.asked)
    assert [] == [path.name for path in flow.directory.iterdir() if "whole" in path.name]


def test_a_download_that_keeps_breaking(flow):
    """The download ends with an error, and no file is left."""
    server = Server(CONTENT, [10] + [0] * 40)
    flow.serve()
    flow.url = server.url
    with pytest.raises(ScriptError, match="in the middle of its answer"):
        flow(f'download("{server.origin}/x", "part.bin")')
    server.close()

    assert [] == [path.name for path in flow.directory.iterdir() if "part" in path.name]


def test_a_checksum_that_does_not_match(flow):
    """The content is checked against the server's checksum."""
    server = Server(CONTENT, [100_000] * 3, headers="x-goog-hash: crc32c=AAAA,md5=1B2M2Y8AsgTpgAmY7PhCfg==\r\n")
    flow.serve()
    flow.url = server.url
    with pytest.raises(ScriptError, match=r"expected md5 d41d8cd98f00b204e9800998ecf8427e, got [0-9a-f]{32}"):
        flow(f'download("{server.origin}/x", "wrong.bin")')
    server.close()

    assert not (flow.directory / "wrong.bin").exists()


PAINT = """
  local images = run("black-forest-labs/flux-schnell",
    { prompt = "dusk", num_outputs = 2, width = 32, height = 32, seed = SEED })
"""


def test_two_runs_save_into_the_same_directory(flow):
    """The second run uses free names below a directory of the first run; nothing is replaced."""
    script = PAINT + 'local paths = {} for i, one in ipairs(download(images, "x/new/")) do paths[i] = one.path end '
    script += 'paths[3] = download(images[1], "x/").path return paths'
    first, second = (flow(script.replace("SEED", seed)) for seed in ("1", "2"))

    assert ["x/new/1-out-0.png", "x/new/2-out-1.png", "x/out-0.png"] == first
    assert ["x/new/1-out-0-2.png", "x/new/2-out-1-2.png", "x/out-0-2.png"] == second
    contents = {path: (flow.directory / path).read_bytes() for path in first + second}
    assert contents[first[0]] != contents[second[0]]


def test_a_saved_file_is_not_replaced(flow):
    """For a single existing path the error comes before the download, unless the script says `overwrite`."""
    (flow.directory / "a.png").write_bytes(b"paid")
    script = (
        PAINT.replace("SEED", "1")
        + """
      local ok, problem = pcall(images[1].save, images[1], "a.png")
      local kept = images[1]:save("a.png", { overwrite = true })
      return { problem.message, problem.hint, kept.path, images[2]:save("a.png").size }
    """
    )
    message, hint, path, size = flow(script)

    assert "'a.png' exists, and this run did not write it; nothing was written" == message
    assert "overwrite = true" in hint
    assert ("a.png", (flow.directory / "a.png").stat().st_size) == (path, size)
    assert 2 == flow.server.count("GET", ".png")


@pytest.mark.parametrize("options", ["{ overwrite = 1 }", "{ overwrit = true }", "true"])
def test_invalid_options_of_a_download(flow, options):
    """The error is reported before anything is fetched."""
    with pytest.raises(ScriptError, match="download: "):
        flow(f'download("https://replicate.delivery/a", "a", {options})')
