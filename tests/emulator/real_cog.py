"""Real cog servers behind the emulator: eleven predictors, trainings, and the answers expected from the API.

``python tests/emulator/real_cog.py [VERSION or PREDICTOR …]`` checks them all with cog 0.9.26, 0.16.12 and 0.23.1 from
PyPI, outside CI; the tests use one version. KOSMOLUA_COGS names a folder with a virtual environment for each version.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from official import CACHE, build
from waiting import stays

VERSIONS = ("0.9.26", "0.16.12", "0.23.1")
TESTED = "0.16.12"  # the version in CI; it writes the schema from which 0.23 is served
HERE = Path(__file__).parent
PREDICTORS = ("Text", "Words", "Upper", "Files", "Number", "Table", "Painter", "Failing", "Slow", "Hidden", "Choice")
TRAINED = "Text"  # this predictor also runs with a second server, for its trainings
CONFIGURATION = 'predict: "cog_predictors.py:{}"\nbuild:\n  python_version: "3.11"\n'
TRAINING = 'train: "cog_predictors.py:train"\n'
PNG = b"\x89PNG\r\n\x1a\n"


def environment_of(version: str) -> Path:
    """The folder of a virtual environment with that cog version, created on first use."""
    if given := os.environ.get("KOSMOLUA_COGS"):
        return Path(given) / version
    home = CACHE / f"cog=={version}"
    if not (home / "ready").exists():
        install = [home / "bin" / "python", "-m", "pip", "install", "-q", f"cog=={version}"]
        build([sys.executable, "-m", "venv", home], install, variable="KOSMOLUA_COGS")
        (home / "ready").touch()
    return home


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cog:
    """A cog server for one predictor. Version 0.23 serves ``schema``, because it has no schema generator."""

    def __init__(
        self,
        version: str,
        predictor: str,
        schema: str | None = None,
        port: int | None = None,
        *,
        trains: bool = False,
    ) -> None:
        self.version, self.predictor, self.trains = version, predictor, trains
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self._folder = Path(tempfile.mkdtemp(prefix="kosmolua-cog-"))
        shutil.copy(HERE / "cog_predictors.py", self._folder)
        (self._folder / "cog.yaml").write_text(
            CONFIGURATION.format(predictor) + (TRAINING if predictor == TRAINED else "")
        )
        if schema:
            (self._folder / ".cog").mkdir()
            (self._folder / ".cog" / "openapi_schema.json").write_text(schema)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        home = environment_of(self.version)
        variables = {
            **os.environ,
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "PORT": self.url.rpartition(":")[2],
            "COG_PREDICT_TYPE_STUB": f"cog_predictors.py:{self.predictor}",
            "COG_TRAIN_TYPE_STUB": "cog_predictors.py:train",
            "COG_NO_UPDATE_CHECK": "1",
        }
        with open(self._folder / "log", "wb") as log:
            command = [home / "bin" / "python", "-m", "cog.server.http", "--host", "127.0.0.1"]
            command += ["--x-mode", "train"] if self.trains else []
            return subprocess.Popen(
                command, cwd=self._folder, env=variables, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> Cog:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health-check", timeout=2).json()["status"] == "READY":
                    return self
            assert self._process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def schema(self) -> str:
        return httpx.get(f"{self.url}/openapi.json").text

    def kill(self) -> None:
        """Kill the server with its workers, which would outlive the server."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{self.url}/shutdown", timeout=2)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def slug(predictor: str) -> str:
    return f"acme/{predictor.lower()}"


class Api:
    """Requests to an emulator, in the form that programs send."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, headers={"Authorization": "Bearer r8_any"}, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def create(self, predictor: str, given: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = self.client.post(f"models/{slug(predictor)}/predictions", json={"input": given}, headers=headers)
        assert answer.status_code in {201, 202}, answer.text
        return answer.json()

    def run(self, predictor: str, given: dict[str, Any]) -> dict[str, Any]:
        return self.until(self.create(predictor, given, Prefer="wait=30"), "succeeded", "failed", "canceled", "aborted")

    def until(self, job: dict[str, Any], *statuses: str) -> dict[str, Any]:
        until = time.monotonic() + 30
        while job["status"] not in statuses:
            assert time.monotonic() < until, job
            time.sleep(0.05)
            job = self.client.get(job["urls"]["get"]).json()
        return job

    def read(self, url: str) -> bytes:
        return httpx.get(url).content

    def stream(self, job: dict[str, Any]) -> list[tuple[str, str]]:
        events, name = [], ""
        with self.client.stream("GET", job["urls"]["stream"], headers={"Accept": "text/event-stream"}) as answer:
            for line in answer.iter_lines():
                kind, _, value = line.partition(": ")
                name = value if kind == "event" else name
                if kind == "data":
                    events.append((name, value))
        return events


def check_text(api: Api, version: str) -> None:
    """The schema comes from cog, the emulator checks inputs like the API, and logs and metrics come from cog."""
    model = api.client.get(f"models/{slug('Text')}").json()
    latest = model["latest_version"]
    fields = latest["openapi_schema"]["components"]["schemas"]["Input"]["properties"]
    assert (sorted(fields), model["is_official"]) == (["count", "text"], False)
    assert latest["cog_version"] == ("0.9" if version.startswith("0.9") else version)

    done = api.run("Text", {"text": "Ada", "count": 2.0})
    assert (done["status"], done["output"], done["error"]) == ("succeeded", "hello Ada hello Ada", None)
    assert (done["version"], done["model"]) == (latest["id"], slug("Text"))
    assert 0 < done["metrics"]["predict_time"] < 5
    assert done["input"] == {"text": "Ada", "count": 2}
    assert done["created_at"] <= done["started_at"] <= done["completed_at"]

    body = {"version": latest["id"], "input": {"text": 1, "count": 9}}
    refused = api.client.post("predictions", json=body)
    assert refused.status_code == 422
    assert {one["field"] for one in refused.json()["invalid_fields"]} == {"input.text", "input.count"}
    found = api.client.request("QUERY", "models", content="text", headers={"Content-Type": "text/plain"}).json()
    assert slug("Text") in [f"{one['owner']}/{one['name']}" for one in found["results"]]


def check_words(api: Api, version: str) -> None:
    """Text is streamed while the model runs, and at the end the output is a list of the pieces."""
    job = api.create("Words", {"prompt": "the sea at night", "delay": 0.3})
    events = api.stream(job)
    pieces = [value for name, value in events if name == "output"]
    assert [piece.strip() for piece in pieces] == ["the", "sea", "at", "night"]
    assert events[-1] == ("done", "{}")
    done = api.until(job, "succeeded")
    assert done["output"] == ["the ", "sea ", "at ", "night "]
    assert "word night" in done["logs"]


def check_upper(api: Api, version: str) -> None:
    """The model gets an emulator file, a data URL and another URL; the output file is a file of the emulator."""
    files = {"content": ("a.txt", b"from a file", "text/plain")}
    uploaded = api.client.post("files", files=files).json()["urls"]["get"]
    done = api.run("Upper", {"file": uploaded})
    assert api.read(done["output"]) == b"FROM A FILE", done
    assert done["output"].endswith("/out-0.txt")
    again = api.run("Upper", {"file": done["output"]})
    assert api.read(again["output"]) == b"FROM A FILE"
    data = api.run("Upper", {"file": "data:text/plain;base64,YWJj"})
    assert api.read(data["output"]) == b"ABC"
    gone = api.run("Upper", {"file": uploaded.replace("/files/", "/files/x")})
    assert (gone["status"], "does not exist" in gone["error"]) == ("failed", True)


def check_files(api: Api, version: str) -> None:
    """Each file in an output list is a file of the emulator."""
    done = api.run("Files", {"count": 3})
    assert [api.read(url) for url in done["output"]] == [PNG + b"0", PNG + b"1", PNG + b"2"]
    empty = api.run("Files", {"count": 0})  # cog before 0.23 treats this as no output
    assert (empty["status"], empty["output"]) == ("succeeded", [] if version.startswith("0.23") else None), empty


def check_number(api: Api, version: str) -> None:
    """Numbers reach the model with the types in the schema."""
    assert api.run("Number", {"a": 3.0, "b": 2})["output"] == 5.0
    assert api.run("Number", {})["output"] == 1.5


def check_table(api: Api, version: str) -> None:
    """A file within an object becomes a file of the emulator, and the text next to the file is unchanged."""
    done = api.run("Table", {"text": "data:text/plain;base64,YWJj"})
    assert api.read(done["output"].pop("picture")) == PNG
    assert done["output"] == {"text": "data:text/plain;base64,YWJj", "score": 0.5}


def check_painter(api: Api, version: str) -> None:
    """The logs of a model that makes a file arrive while the model runs, and the file arrives at the end."""
    job = api.create("Painter", {"steps": 6})
    seen = set()
    while (job := api.client.get(job["urls"]["get"]).json())["status"] not in {"succeeded", "failed"}:
        seen.add(job["logs"].count("\n"))
        time.sleep(0.05)
    assert seen & {1, 2, 3, 4, 5}, job
    assert (api.read(job["output"]), job["logs"].count("\n")) == (PNG, 6)


def check_failing(api: Api, version: str) -> None:
    """A model that fails gives a failed prediction with the model's message. Cog 0.23 drops partial output."""
    job = api.create("Failing", {"message": "out of luck"})
    events = api.stream(job)
    assert [name for name, _ in events if name != "logs"][-2:] == ["error", "done"]
    done = api.until(job, "failed")
    assert done["error"].endswith("out of luck")
    assert done["output"] == (None if version.startswith("0.23") else ["half "])


def check_slow(api: Api, version: str) -> None:
    """Canceling ends a prediction, and the predictions that wait for the server then start."""
    first = api.create("Slow", {"seconds": 60})
    api.until(first, "processing")
    second, third = api.create("Slow", {"seconds": 0.1}), api.create("Slow", {"seconds": 60})
    assert second["status"] == "starting"
    assert stays(lambda: api.client.get(second["urls"]["get"]).json()["status"], 0.6)
    canceled = api.client.post(first["urls"]["cancel"]).json()
    assert (canceled["status"], canceled["output"], canceled["error"]) == ("canceled", None, None)
    assert api.until(second, "succeeded")["output"] == "slept"
    assert api.client.post(third["urls"]["cancel"]).json()["status"] == "canceled"
    short = api.create("Slow", {"seconds": 60}, **{"Cancel-After": "5s"})
    assert api.until(short, "canceled")["started_at"]
    assert api.run("Slow", {"seconds": 0})["output"] == "slept"


def check_hidden(api: Api, version: str) -> None:
    """A secret input reaches the model, and no answer shows it."""
    done = api.run("Hidden", {"password": "open sesame"})
    assert (done["output"], done["input"]) == ("11 characters", {"password": "[REDACTED]"})


def check_choice(api: Api, version: str) -> None:
    """Enums and flags are checked and reach the model; a list that is not streamed text has no stream."""
    done = api.run("Choice", {"color": "green", "size": 2, "flag": True})
    assert (done["output"], "stream" in done["urls"]) == (["green", "2", "True"], False)
    refused = api.client.post(f"models/{slug('Choice')}/predictions", json={"input": {"color": "blue"}})
    assert (refused.status_code, refused.json()["invalid_fields"][0]["type"]) == (422, "enum")


def check_training(api: Api, version: str) -> None:
    """A training on the second server has logs while running, its weights are a file, and it adds a version."""
    latest = api.client.get(f"models/{slug(TRAINED)}").json()["latest_version"]
    trainings = f"models/{slug(TRAINED)}/versions/{latest['id']}/trainings"
    body = {"destination": "emulator/my-sdxl", "input": {"images": "data:text/plain;base64,YWJj", "steps": 5}}

    def train(**given: Any) -> dict[str, Any]:
        answer = api.client.post(trainings, json={**body, "input": {**body["input"], **given}})
        assert answer.status_code == 201, answer.text
        return answer.json()

    job, seen = train(), set()
    while (job := api.client.get(job["urls"]["get"]).json())["status"] not in {"succeeded", "failed"}:
        seen.add(job["logs"].count("step"))
        time.sleep(0.05)
    assert (job["status"], job["error"]) == ("succeeded", None), job
    assert seen & {1, 2, 3, 4}, seen
    assert (job["logs"].count("step"), api.read(job["output"]["weights"])) == (5, b"ABC")
    assert job["metrics"]["predict_time"] > 1
    new = job["output"]["version"].rpartition(":")[2]
    assert api.client.get("models/emulator/my-sdxl").json()["latest_version"]["id"] == new
    ran = api.client.post("predictions", json={"version": new, "input": {"text": "Ada"}}).json()
    assert api.until(ran, "succeeded")["output"] == "hello Ada"

    failed = api.until(train(message="bad pictures", steps=1), "failed")
    assert failed["error"].endswith("bad pictures")
    refused = api.client.post(trainings, json={**body, "input": {"steps": 0}})
    assert {one["field"] for one in refused.json()["invalid_fields"]} == {"input", "input.steps"}, refused.text
    # Cog 0.9 ignores a cancel while it makes files.
    running = api.until(train(steps=10 if version.startswith("0.9") else 300), "processing")
    canceled = api.client.post(running["urls"]["cancel"]).json()
    assert canceled["status"] == "canceled"
    assert api.until(train(steps=1), "succeeded")["output"]["weights"]


def check(api: Api, version: str, predictor: str) -> None:
    globals()[f"check_{predictor.lower()}"](api, version)


def main(names: list[str]) -> int:
    from kosmolua.emulator import Emulator, running

    chosen = [one for one in PREDICTORS if one in names] or PREDICTORS
    versions = [one for one in VERSIONS if one in names] or VERSIONS
    failed, schemas = 0, dict[str, str]()
    for predictor in chosen:
        cog = Cog(TESTED, predictor).wait()
        schemas[predictor] = cog.schema()
        cog.close()
    for version in versions:
        for predictor in chosen:
            schema = schemas[predictor] if version.startswith("0.23") else None
            servers = [Cog(version, predictor, schema).wait()]
            if predictor == TRAINED:
                servers.append(Cog(version, predictor, schema, trains=True).wait())
            urls = ",".join(server.url for server in servers)
            try:
                with running(Emulator(cogs=[f"{slug(predictor)}={urls}"])) as url, Api(url) as api:
                    check(api, version, predictor)
                    if predictor == TRAINED:
                        check_training(api, version)
                print(f"cog {version} {predictor}: right")
            except AssertionError as error:
                failed += 1
                print(f"cog {version} {predictor}: {error}\n{servers[-1].log()[-2000:]}")
            finally:
                for server in servers:
                    server.close()
    print(json.dumps({"versions": list(versions), "predictors": len(chosen), "failed": failed}))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
