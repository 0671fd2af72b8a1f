"""Each attack script in the corpus is refused exactly as expected, through the real command line.

``attacks/<chapter>/<name>.lua`` is the attack. Flags in comments ``-- flags:`` at its top are appended to the command
line below. ``<name>.expect`` next to it has a line for each expectation: ``exit`` and ``code``; words in ``error``,
``output`` or ``stderr``, as escaped for a terminal; ``results`` as JSON; ``outcomes`` of the calls, sorted by name;
words that are ``absent`` from everything shown.
"""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import scaled
from warm import Warm

from kosmolua.runtime import confine
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.prepared import Prepared
from kosmolua.runtime.run import Script, run
from kosmolua.terminal.safe import visible

HERE = Path(__file__).parent / "attacks"
ATTACKS = {path.relative_to(HERE).with_suffix("").as_posix(): path for path in sorted(HERE.rglob("*.lua"))}
LIMITS = {"cpu": "0.2", "memory": "32M", "output": "100K", "time": "15"}
FLAGS = [
    "--json",
    "--no-check",
    "--emulate",
    *(word for name, value in LIMITS.items() for word in (f"--{name}-limit", value)),
]
WALL = 20.0  # seconds; the time limit is 15, so an attack that reaches it was not ended by the intended limit
MOST_SHOWN = 2_500_000  # bytes: the output limit, with every byte escaped, and a log of 10,000 calls
TOKEN = "r8_MarkedTokenOfTheHost"
SECRET = "MarkedTextOfAFile"
MODES = ("standard", "strict")
MISSING = [f"{name}: {why}" for name, why in confine.available().items() if why is not True]


def expectations(path):
    lines = path.with_suffix(".expect").read_text().splitlines()
    return [tuple(line.partition(" ")[::2]) for line in lines]


def flags_of(source):
    return [flag for line in source.split("\n")[:3] if line.startswith("-- flags:") for flag in line[9:].split()]


@pytest.fixture
def ground(tmp_path):
    """A directory that is open to the script, with secrets next to it and linked from it."""
    for name in ("open", "openly", "home"):
        (tmp_path / name).mkdir()
    for name in ("secret.txt", "openly/secret.txt", "secret.lua"):
        (tmp_path / name).write_text(f"return '{SECRET}'")
    (tmp_path / "module.lua").write_text("return 1")
    (tmp_path / "open" / "note.txt").write_text("note")
    (tmp_path / "open" / "escape.lua").write_text(
        "return tostring(io.popen) .. tostring(getfenv) .. tostring(debug.sethook)"
    )
    (tmp_path / "open" / "bytecode.lua").write_bytes(b"\x1bLJ\x02")
    (tmp_path / "open" / "link.txt").symlink_to("../secret.txt")
    (tmp_path / "open" / "linked.lua").symlink_to("../secret.lua")
    (tmp_path / "open" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "open" / "pipe")
    own = tmp_path / "home" / ".config" / "kosmolua"
    own.mkdir(parents=True)
    (tmp_path / ".kosmo").mkdir()
    (tmp_path / ".kosmo" / "config.toml").write_text("")
    (own / "credentials.json").write_text('{"replicate": {"other": "r8_TokenOfAnotherAccount"}}')
    (own / "credentials.json").chmod(0o600)
    (own / "module.lua").write_text("return 1")
    (tmp_path / "open" / "soft").symlink_to(own / "credentials.json")
    (tmp_path / "linked").symlink_to(own)
    os.link(own / "credentials.json", tmp_path / "open" / "hard")
    return tmp_path


@pytest.fixture(scope="module")
def warm():
    """For each isolation level, a process that starts command lines, with the host's token in its environment."""
    environment = {"PATH": os.environ["PATH"], "REPLICATE_API_KEY": TOKEN}
    made = {mode: Warm(environment) for mode in MODES}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def attack(ground, warm):
    """Run a script through the command line with one isolation level."""

    def execute(source, mode):
        argv = ["integrations:lua", *FLAGS, *flags_of(source.decode()), "--isolation", mode, "attack.lua"]
        out, err = ground / f"out.{mode}", ground / f"err.{mode}"
        began = time.monotonic()
        warm[mode].start(argv, out, err, directory=ground, environment={"HOME": str(ground / "home")})
        status = warm[mode].wait(2 * WALL)
        return subprocess.CompletedProcess(argv, status, out.read_bytes(), err.read_bytes()), time.monotonic() - began

    return execute


@pytest.mark.skipif(bool(MISSING), reason=f"strict needs all layers: {'; '.join(MISSING)}")
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(attack, ground, name):
    """Each isolation level refuses the attack as expected, in time, in one envelope, without secrets or control
    characters.
    """
    source = ATTACKS[name].read_bytes()
    (ground / "attack.lua").write_bytes(source)
    with ThreadPoolExecutor(len(MODES)) as threads:
        ended = list(threads.map(lambda mode: attack(source, mode), MODES))

    for process, took in ended:
        hold_to(expectations(ATTACKS[name]), process)
        assert took < scaled(WALL)
    for file in (ground / "home").rglob("*"):
        assert file.is_dir() or b"Marked" not in file.read_bytes()


def hold_to(expected, process):
    stderr, envelope = process.stderr.decode(), json.loads(process.stdout)
    shown = process.stdout.decode() + stderr
    seen = {
        "exit": str(process.returncode),
        "code": envelope["code"] or "none",
        "results": json.dumps(envelope["results"], separators=(",", ":")),
        "outcomes": " ".join(sorted(entry.get("outcome", "error") for entry in envelope["call_log"])),
    }
    words = {"error": visible(envelope["error"] or ""), "output": envelope["output"], "stderr": stderr}

    for key, value in expected:
        if key in seen:
            assert value == seen[key], shown
        elif key == "absent":
            assert value not in shown
        else:
            assert value in words[key]
    assert (process.returncode == 0) == envelope["success"]
    assert 1 == process.stdout.count(b"\n"), "standard output is one line"
    assert "Traceback" not in stderr
    assert all(c.isprintable() or c in "\n\t" for c in stderr)
    assert "Marked" not in shown
    assert "TokenOfAnotherAccount" not in shown
    assert len(shown) < MOST_SHOWN


def test_every_attack_has_its_expectation():
    """Every attack has an expectation with at least the run's ending, and every expectation has an attack."""
    assert len(ATTACKS) > 90
    assert [*ATTACKS.values()] == sorted(path.with_suffix(".lua") for path in HERE.rglob("*.expect"))
    for path in ATTACKS.values():
        keys = {key for key, _ in expectations(path)}
        assert {"exit", "code"} <= keys
        assert keys & {"error", "results"}


def test_the_host_works_after_an_attack():
    """After each attack the same host still runs an honest script."""
    limits = Limits(cpu=0.1, memory=32 << 20, output=10_000, time=10.0)
    honest = Script(source=b"return integrations.replicate.get_account{}.n", name="x", functions=[("get_account",)])
    before = set(os.listdir("/proc/self/fd"))
    with Prepared() as prepared:
        for number, path in enumerate(ATTACKS.values()):
            host = Host(number)
            script = Script(
                source=path.read_bytes(), name="attack.lua", functions=[("get_account",), ("create_prediction",)]
            )
            if not script.source.startswith(b"\x1b"):
                run(script, host, host, limits=limits, child=prepared)
            result = run(honest, host, host, child=prepared)

            assert [number] == result.results, path
    assert before == set(os.listdir("/proc/self/fd"))


class Host:
    """A host that answers every call with its number and discards output."""

    def __init__(self, number):
        self.number = number

    def __call__(self, function, account, arguments):
        return {"n": self.number}

    def write(self, stream, text):
        pass
