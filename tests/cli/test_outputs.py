"""Outputs stored with a journal: a resumed run has the files it paid for, though the API has removed them."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from flows import HurryingClock
from surroundings import clean_environment
from tmux import Screen
from waiting import wait_until

from kosmolua import Host
from kosmolua.emulator import Emulator, running
from kosmolua.errors import UsageError

HOUR = 3600
FLUX, ESRGAN = "black-forest-labs/flux-schnell", "nightmareai/real-esrgan"
PAINT = f"local images = run('{FLUX}', {{ prompt = 'dusk', num_outputs = 2, width = 32, height = 32, seed = 1 }}) "
ENLARGE = f"local _, p = run('{ESRGAN}', {{ image = images[1], scale = 2 }}) "
PICTURES = ".png"


class Clock(HurryingClock):
    """A clock that runs ten times as fast as the machine's, and that a test can set ahead."""

    def __init__(self):
        super().__init__(10)
        self.later = 0.0

    def time(self):
        return super().time() + self.later


class Api:
    """An emulator on a socket that records its requests and can delay its files."""

    def __init__(self, url, clock, environment):
        self.url, self.clock, self.environment = url, clock, environment
        self.requests = []
        self.held = PICTURES
        self.asked = threading.Event()
        self.released = threading.Event()
        self.released.set()

    def count(self, method, ending):
        return sum(one == method and path.endswith(ending) for one, path in self.requests)

    def expire(self):
        self.clock.later += 2 * HOUR


@contextmanager
def served(environment):
    clock = Clock()
    api = Api("", clock, environment)
    emulator = Emulator(clock=clock, seed="outputs")

    def application(environ, start_response):
        api.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if environ["PATH_INFO"].endswith(api.held):
            api.asked.set()
            api.released.wait(30)
        return emulator(environ, start_response)

    application.close = emulator.close
    with running(application) as api.url:
        api.environment = {**environment, "REPLICATE_URL": api.url, "REPLICATE_API_KEY": "r8_marked"}
        yield api
        api.released.set()


@pytest.fixture
def api(tmp_path):
    (tmp_path / "out").mkdir()
    with served(clean_environment(tmp_path)) as made:
        yield made


@pytest.fixture
def run(api, kosmo):
    def go(source, *flags):
        return kosmo("lua", "-e", source, "--journal", "x.journal", "--write", "allow", "--allow-write", "out", *flags,
                     env=api.environment)  # fmt: skip

    return go


def kept(tmp_path):
    """The contents of the stored files, each with its file mode."""
    return {
        path.name: oct(path.stat().st_mode & 0o777)
        for path in (tmp_path / "x.outputs").iterdir()
        if len(path.name) == 64
    }


def test_a_resumed_run_has_its_outputs(api, run, tmp_path):
    """A resumed run saves outputs that the API has removed and passes them to a model; their URLs are not requested."""
    source = PAINT + ENLARGE + "return { download(images[2], 'out/a.png').sha256, p.input.image:sub(1, 22) }"
    first = run(source, "--max-predictions", "1")
    assert (5, 2) == (first.status, len(kept(tmp_path)))
    assert {"0o600"} == {*kept(tmp_path).values()}
    assert "0o700" == oct((tmp_path / "x.outputs").stat().st_mode & 0o777)
    api.expire()
    api.requests.clear()
    ran = run(source, "--json")

    assert (0, "") == (ran.status, ran.json["error"] or "")
    sha256, image = ran.json["result"]
    assert sha256 == hashlib.sha256((tmp_path / "out" / "a.png").read_bytes()).hexdigest()
    assert sha256 in kept(tmp_path)
    assert "data:image/png;base64," == image
    downloads = [entry for entry in ran.json["call_log"] if entry["function"] == "download" and "note" in entry]
    assert ["read from the outputs kept with the journal"] == [entry["note"] for entry in downloads]


def test_without_kept_outputs_the_error_says_that_they_expired(api, run, tmp_path):
    """The error for an expired output says when the output was created; with --no-keep-outputs nothing is stored."""
    source = PAINT + f"run('{FLUX}', {{ prompt = 'x', num_outputs = 1 }}) download(images[2], 'out/a.png')"
    assert 5 == run(source, "--no-keep-outputs", "--max-predictions", "1").status
    api.expire()
    ran = run(source, "--no-keep-outputs")

    assert 1 == ran.status
    assert f"Replicate removes outputs an hour after they were made (this one at {time.strftime('%Y-')}" in ran.err
    assert "kosmo lua --journal NAME" in ran.err
    assert not (tmp_path / "x.outputs").exists()
    assert not os.listdir(tmp_path / "out")


def test_without_a_journal_the_error_says_that_outputs_expired(api, kosmo):
    """Without a journal, the error for an expired output is the same for any prediction that the script has read."""
    made = kosmo("lua", "-e", PAINT + "return images[1].url", "--write", "allow", env=api.environment).out
    identifier = made.rstrip().split("/")[-2]
    api.expire()
    source = f"""
      local p = replicate.get_prediction{{ prediction_id = '{identifier}' }}
      download(p.output and p.output[1] or '{made.rstrip()}', 'out/a.png')
    """
    ran = kosmo("lua", "-e", source, "--allow-write", "out", env=api.environment)

    assert (1, True) == (ran.status, "Replicate removes outputs an hour after they were made" in ran.err)


def test_an_output_is_kept_after_a_kill(api, run, tmp_path):
    """If a run is killed after its prediction has ended and before the output is stored, the resumed run stores the
    output."""
    source = PAINT + "print('made') sleep(1) return #images"
    api.released.clear()
    command = [sys.executable, "-m", "kosmolua", "lua", "-e", source, "--journal", "x.journal", "--write", "allow"]
    with subprocess.Popen(command, cwd=tmp_path, env=api.environment, stdout=subprocess.PIPE) as process:
        assert b"made\n" == process.stdout.readline()
        assert api.asked.wait(20)
        process.send_signal(signal.SIGKILL)
    assert {} == kept(tmp_path)
    api.released.set()
    ran = run(source)

    assert (0, "made\n2\n") == ran.seen[:2]
    assert 2 == len(kept(tmp_path))
    assert 1 == api.count("POST", "/predictions")
    assert [] == [path for path in (tmp_path / "x.outputs").iterdir() if path.suffix == ".part"]


def test_a_download_waits_for_a_file_that_is_being_kept(api, run, tmp_path):
    """Each file is fetched once, even if the script saves it immediately."""
    ran = run(PAINT + "return #download(images, 'out/')")

    assert (0, "2\n") == ran.seen[:2]
    assert 2 == api.count("GET", PICTURES)
    assert {*kept(tmp_path)} == {hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "out").iterdir()}


def test_a_damaged_kept_file_is_an_error(api, run, tmp_path):
    """If a stored file is damaged, its download is an error, and nothing is saved."""
    source = PAINT + ENLARGE + "return download(images[2], 'out/a.png').sha256"
    run(source, "--max-predictions", "1")
    for name in kept(tmp_path):
        content = (tmp_path / "x.outputs" / name).read_bytes()
        (tmp_path / "x.outputs" / name).write_bytes(b"\0" + content[1:])
    ran = run(source)

    assert 1 == ran.status
    assert "is damaged" in ran.err
    assert [] == os.listdir(tmp_path / "out")


def test_scripts_cannot_open_kept_files(api, run, tmp_path):
    """Scripts can use stored files only through their URLs."""
    run(PAINT)
    name = next(iter(kept(tmp_path)))
    ran = run(f"download('data:,x', 'x.outputs/{name}', {{ overwrite = true }})", "--fresh", "--allow-write", ".")

    assert 3 == ran.status
    assert "it belongs to the journal" in ran.err


def test_kept_files_are_removed_and_moved_with_the_journal(api, run, kosmo, tmp_path):
    """Stored files are removed with the run, and moved when a new run takes its name."""
    run(PAINT)
    run(PAINT, "--fresh")
    assert 2 == len([*tmp_path.glob("x*.outputs")])
    assert 2 == len([*tmp_path.glob("x*.journal")])
    (tmp_path / "x.outputs" / "mine.txt").write_text("mine")
    for path in tmp_path.glob("x*.journal"):
        assert 0 == kosmo("runs", "prune", str(path), env=api.environment).status

    assert ["mine.txt"] == [path.name for each in tmp_path.glob("x*.outputs") for path in each.iterdir()]


def test_outputs_in_a_report(api, run, tmp_path):
    """The pictures in a report come from the stored files."""
    ran = run(PAINT, "--report", "out.html")

    assert 0 == ran.status
    assert 2 == api.count("GET", PICTURES)
    assert "data:image/png;base64," in (tmp_path / "out.html").read_text()


def test_an_interrupted_save_of_a_list_keeps_the_names(api, run, tmp_path):
    """If a run is killed after it saved the first of two files, the resumed run replaces only its own file."""
    source = PAINT + "return #download(images, 'out/')"
    (tmp_path / "out" / "2-out-1.png").write_bytes(b"paid")
    api.held = "out-1.png"
    api.released.clear()
    command = [sys.executable, "-m", "kosmolua", "lua", "-e", source, "--journal", "x.journal", "--write", "allow",
               "--allow-write", "out", "--no-keep-outputs"]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, env=api.environment, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: (tmp_path / "out" / "1-out-0.png").exists() and api.asked.is_set())
        process.send_signal(signal.SIGKILL)
    api.released.set()
    ran = run(source, "--no-keep-outputs")

    assert (0, "2\n") == ran.seen[:2]
    assert ["1-out-0.png", "2-out-1-2.png", "2-out-1.png"] == sorted(os.listdir(tmp_path / "out"))
    assert b"paid" == (tmp_path / "out" / "2-out-1.png").read_bytes()
    assert 1 == api.count("POST", "/predictions")


def test_a_host_keeps_outputs_and_can_start_fresh(api, tmp_path, monkeypatch):
    """`Host.run` has the same options as the command line; its messages are passed to on_notice."""
    for name, value in {**api.environment, "KOSMO_STATE_DIR": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    notices = []
    with Host(write="allow", on_notice=notices.append) as host:
        first = host.run(PAINT + "return images[1].url", journal=str(tmp_path / "x.journal"))
        again = host.run(PAINT + "return images[1].url", journal=str(tmp_path / "x.journal"))
        fresh = host.run(PAINT + "return images[1].url", journal=str(tmp_path / "x.journal"), fresh=True)
        with pytest.raises(UsageError, match="fresh=True requires a journal"):
            host.run("return 1", fresh=True)

    assert (first.value, True) == (again.value, fresh.value not in {None, first.value})
    assert ["nothing is sent" in notices[0], "To start a new run: fresh=True" in notices[0]] == [True, True]
    assert "the earlier run is kept as" in notices[1]
    assert 2 == len(kept(tmp_path))


def test_a_session_at_the_prompt_keeps_outputs(api, kosmo, tmp_path):
    """The prompt stores outputs from :journal until the journal is closed; with --fresh they remain with the old
    journal."""
    screen = Screen(tmp_path, "repl", "--write", "allow", environment=api.environment, stay=True)
    try:
        screen.enter(f":journal {tmp_path / 'x.journal'}", "0 calls")
        screen.enter(f"images = run('{FLUX}', {{ prompt = 'dusk', width = 32, height = 32 }})", "in[2]>")
        screen.enter(":journal off", "calls are no longer recorded")
        screen.wait_for("in[2]>", times=2)
        screen.enter(f":journal {tmp_path / 'x.journal'} --fresh", "the earlier run is kept as")
        screen.wait_for("0 calls", times=2)
    finally:
        screen.close()

    assert 1 == len([*next(tmp_path.glob("x-20*.outputs")).glob("?" * 64)])
