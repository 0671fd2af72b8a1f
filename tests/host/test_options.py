"""Options are checked when passed, and the annotations of public types can be resolved."""

import inspect
import math
import subprocess
import sys
import typing

import pytest

import kosmolua
from kosmolua import Caps, Host, Limits, OptionError, UsageError
from kosmolua.host.options import HostOptions

WRONG_LIMITS = [
    *[{"time": value} for value in (math.nan, math.inf, -math.inf, -1, 0, "1", b"1", True, [], 1e300)],
    *[{"cpu": value} for value in (math.nan, 0, -0.5, "30", False)],
    *[{"silence": value} for value in (math.nan, 0, "a")],
    *[{"memory": value} for value in (math.nan, 0, -1, 1.5, "128", True, 2**70)],
    *[{"output": value} for value in (math.nan, -1, 1.5, "1", True)],
]
WRONG_CAPS = [
    *[{name: value} for name in ("calls", "writes", "predictions") for value in ("1", -1, 1.5, True, math.nan, [])],
    *[{name: value} for name in ("seconds_of_compute", "cost") for value in ("1", -1, True, math.nan, math.inf, [])],
]


@pytest.mark.parametrize("options", WRONG_LIMITS, ids=repr)
def test_invalid_limits(options):
    """A limit is a number in its range, or None."""
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}: expected ") as raised:
        Limits(**options)

    assert isinstance(raised.value, UsageError)


@pytest.mark.parametrize("options", WRONG_CAPS, ids=repr)
def test_invalid_caps(options):
    """A cap is None or a number from 0 on; caps on counts are whole numbers."""
    (name,) = options
    with pytest.raises(OptionError, match=f"{name}: expected "):
        Caps(**options)


def test_valid_limits_and_caps():
    """The defaults, the minimum, and None for no limit are valid."""
    assert Limits() == Limits(30, 128 * 1024 * 1024, 10 * 1024 * 1024, None, 10)
    assert (None,) * 5 == Limits(None, None, None, None, None)
    assert (0.1, 1, 0, 0.5, 1) == Limits(0.1, 1, 0, 0.5, 1)
    assert 5.0 == Limits()._replace(cpu=5.0).cpu
    assert 0 == Caps(calls=0, cost=0.0, seconds_of_compute=1).calls


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"caps": {"predictions": 1}}, r"caps: expected kosmolua.Caps\(…\) or None, got dict"),
        ({"limits": (1, 2)}, r"limits: expected kosmolua.Limits\(…\) or None, got tuple"),
        ({"limits": 30}, "limits: expected .*, got 30"),
        ({"account": None}, "account: expected the name of an account, got None"),
        ({"account": ""}, "account: expected the name of an account, got ''"),
        ({"token": b"r8_secret"}, "token: expected text or None"),
        ({"url": 1}, "url: expected text or None, got 1"),
        ({"force": "yes"}, "force: expected True or False, got 'yes'"),
        ({"dry_run": 1}, "dry_run: expected True or False, got 1"),
        ({"prepare": None}, "prepare: expected True or False, got None"),
        ({"faults": "slow"}, "faults: expected a list of faults, got 'slow'"),
        ({"allow_read": "data"}, "allow_read: expected a list of directories, got 'data'"),
        ({"allow_write": [1]}, "allow_write: expected a list of directories, got list"),
        ({"on_output": "x"}, "on_output: expected a function that is not async, or None, got 'x'"),
        ({"read": True}, "read: expected allow, ask or deny, got True"),
        ({"speed": 0}, "speed: expected a number above 0, got 0"),
        ({"speed": None}, "speed: expected a number above 0, got None"),
        ({"isolation": None}, "isolation: expected standard, strict or none, got None"),
    ],
    ids=repr,
)
def test_invalid_options(options, words):
    """Each option is checked when the host is created, and no error shows a token."""
    with pytest.raises(OptionError, match=words) as raised:
        Host(emulate=True, **options)

    assert "r8_secret" not in str(raised.value)


def test_an_async_callback_is_refused():
    """An async callback is refused, because it would create a coroutine that is never run."""

    async def told(*_):
        pass

    for name in ("on_output", "on_call", "on_retry", "on_notice"):
        with pytest.raises(OptionError, match=f"{name}: expected a function that is not async"):
            Host(emulate=True, **{name: told})


@pytest.mark.parametrize("name", kosmolua.__all__)
def test_annotations_resolve_at_run_time(name):
    """Libraries can read the annotations of every public type."""
    public = getattr(kosmolua, name)
    if isinstance(public, type):
        assert typing.get_type_hints(public) is not None


def test_type_checkers_know_every_name(tmp_path):
    """A missing name is an error for mypy, as at run time."""
    (tmp_path / "uses.py").write_text("from kosmolua import Host, Result, JournalError, Nonsense\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "uses.py"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert 'Module "kosmolua" has no attribute "Nonsense"' in ran.stdout
    assert 1 == ran.stdout.count("error:")
    with pytest.raises(ImportError):
        exec("from kosmolua import Nonsense")


def test_the_hints_of_methods_can_be_resolved():
    """FastAPI, pydantic and others can resolve the hints, without any import before."""
    code = """
import inspect, sys, typing
from kosmolua import Host, ScriptRun
from kosmolua.host.options import HostOptions
assert not {"kosmolua.gate.session", "kosmolua.journal.journal"} & set(sys.modules)
for kind in (Host, ScriptRun, HostOptions):
    typing.get_type_hints(kind)
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if inspect.isfunction(function):
            hints = typing.get_type_hints(function)
            assert not any(isinstance(hint, str) for hint in hints.values()), (kind, name)
            inspect.signature(function)
print(typing.get_type_hints(Host.request)["return"].__name__, typing.get_type_hints(Host.run)["return"].__name__)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert "Reply Result" == said.strip()


def test_a_host_shows_its_options():
    """The signature of a host has all its options; an unknown option is refused."""
    names = list(inspect.signature(Host).parameters)

    assert names == list(HostOptions.__struct_fields__)
    with pytest.raises(TypeError, match="tokn"):
        Host(tokn="x")


def test_a_host_from_options():
    """Options are created once and printed without the token; hosts with options equal hosts with keywords."""
    options = HostOptions(emulate=True, isolation="none", token="r8_marked", caller="me")
    with Host.of(options) as host:
        value = host.run("return 6 * 7").value

    assert 42 == value
    assert "marked" not in f"{options!r} {options} {host!r}"
    with pytest.raises(AttributeError):
        options.emulate = False


def test_a_path_is_not_an_open_journal():
    """`script` accepts an open journal; the error for a path names the method that accepts one."""
    with (
        Host(emulate=True, prepare=False) as host,
        pytest.raises(OptionError, match="expected an open journal") as caught,
    ):
        host.script("return 1", journal="nightly")

    assert "run(source, journal=PATH)" in caught.value.hint


def test_emulated_models_run_faster():
    """The slow video model takes 78 s at the usual speed, and under 1 s at speed 200."""
    source = 'local _, made = run("minimax/video-01", { prompt = "sea" }) return made.metrics.total_time'
    with Host(emulate=True, speed=200, prepare=False) as host:
        assert 1 > host.run(source).value
