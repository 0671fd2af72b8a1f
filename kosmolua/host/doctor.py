"""Checks whether a call would work, and if not, shows what to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from kosmolua.errors import KosmoError, ScriptError, TransportError
from kosmolua.gate.policy import policy_of
from kosmolua.host.sessions import emulated_settings
from kosmolua.settings import config, credentials
from kosmolua.settings.edit import SECTION

if TYPE_CHECKING:
    from kosmolua.host.options import HostOptions


class Check(Struct, frozen=True):
    """The result of one check. ``ok`` is None if the check was skipped or is not essential; ``next`` is what to run."""

    check: str
    ok: bool | None
    message: str
    next: str | None = None
    exit_status: int = 0


def checks(options: HostOptions, *, offline: bool) -> Iterator[Check]:
    """Check what a call with these options needs, in the order in which it needs it. Unless ``offline``, make one
    request.
    """
    yield Check("provider", ok=True, message=f"{SECTION} is supported")
    try:
        settings = config.load(os.environ, read=options.read, write=options.write)
        policy_of(settings)
    except KosmoError as error:
        yield _failed("configuration", error)
        return
    yield from (Check("configuration", None, notice) for notice in settings.notices)
    yield _enabled(settings)
    yield from _EMULATED if options.emulate else _connection(settings, options)
    yield from _online(options) if not offline else _skipped()
    yield _policy(emulated_settings(options.read, options.write) if options.emulate else settings)
    yield from (_keyring(), *_runtime(), _emulator())


_EMULATED = (
    Check("credential", ok=True, message="not needed: --emulate asks the built-in emulator, not the API"),
    Check("url", None, "not used: the emulator runs in this process"),
    Check("certificates", None, "not used"),
)


def _connection(settings: config.Settings, options: HostOptions) -> Iterator[Check]:
    """What a request to the API needs."""
    yield _credential(settings, options.account)
    yield _url(settings, options)
    yield from _headers(settings, options.account)
    yield _certificates()


def _failed(name: str, error: KosmoError) -> Check:
    return Check(name, ok=False, message=error.message, next=error.hint, exit_status=error.exit_status)


def _tried(name: str, action: Callable[[], str]) -> Check:
    """Run the action; its text is the message if it succeeds."""
    try:
        return Check(name, ok=True, message=action())
    except KosmoError as error:
        return _failed(name, error)


def _enabled(settings: config.Settings) -> Check:
    from kosmolua.host.clients import check_enabled

    def look() -> str:
        check_enabled(settings)
        return f"enabled ({settings.enabled.origin})"

    return _tried("enabled", look)


def _credential(settings: config.Settings, account: str) -> Check:
    def look() -> str:
        from kosmolua.replicate.token import checked_token

        secret = credentials.find(os.environ, settings.accounts, account)
        checked_token(secret.reveal())
        return f"account {account} has a token (from {secret.origin})"

    return _tried("credential", look)


def _url(settings: config.Settings, options: HostOptions) -> Check:
    def look() -> str:
        from kosmolua.replicate.urls import checked_url

        url = settings.url_of(options.account)
        return f"{checked_url(url.value, insecure_http=options.insecure_http, origin=url.origin)} ({url.origin})"

    return _tried("url", look)


def _headers(settings: config.Settings, account: str) -> Iterator[Check]:
    section = settings.accounts.get(account)
    if section and section.headers:
        yield _tried(
            "headers",
            lambda: ", ".join(each.name for each in credentials.headers_of(os.environ, settings.accounts, account)),
        )


def _certificates() -> Check:
    def look() -> str:
        from kosmolua.replicate import certificates

        certificates.context(os.environ)
        named = certificates.named(os.environ)
        return f"from {named[0]}: {named[1]}" if named else "built-in"

    return _tried("certificates", look)


def _online(options: HostOptions) -> Iterator[Check]:
    """Check with one API call that the API can be reached and that it accepts the token."""
    from kosmolua.host.host import Host

    try:
        with Host.of(replace(options, read="allow", isolation="none")) as host:
            account = host.call("get_account")
    except TransportError as error:
        yield _failed("reachable", error)
        yield Check("token", None, "not checked")
    except KosmoError as error:
        answered = getattr(error, "status", None) is not None
        yield (
            Check("reachable", ok=True, message="the API answers")
            if answered
            else Check("reachable", None, "not checked")
        )
        yield _failed("token", error) if answered else Check("token", None, "not checked")
    else:
        yield Check("reachable", ok=True, message=f"the {'emulator' if options.emulate else 'API'} answers")
        who = account.get("username") if isinstance(account, dict) else None
        yield Check("token", ok=True, message=f"accepted, as {who}" if who else "accepted")


def _skipped() -> Iterator[Check]:
    yield Check("reachable", None, "skipped: --offline")
    yield Check("token", None, "skipped: --offline")


def _policy(settings: config.Settings) -> Check:
    words = "; ".join(
        f"{access}={value.value} ({value.origin})"
        for access, value in (("read", settings.read), ("write", settings.write))
    )
    if settings.read.value == "deny" and settings.write.value == "deny":
        return Check("policy", False, f"everything is denied: {words}", _allow("read"), 3)
    if settings.write.value == "ask" and settings.write.origin != "--write":
        return Check(
            "policy", True, f"{words}; writes are refused without a terminal for confirmation", _allow("write")
        )
    return Check("policy", ok=True, message=words)


def _allow(access: str) -> str:
    return f"to allow {access}s: kosmo integrations:configure {SECTION} --{access} allow"


def _keyring() -> Check:
    found = credentials.keyring_backend()
    if found:
        return Check("keyring", ok=True, message=found)
    return Check("keyring", None, "not available; tokens are stored in a file that only you can read")


def _runtime() -> Iterator[Check]:
    """Run a script in the same way as any other script."""
    from kosmolua.runtime.run import Script, run

    script = Script(source=b"return 6 * 7", name="doctor")
    try:
        result = run(script, _no_calls, _Nothing())
    except KosmoError as error:
        yield _failed("luajit", error)
        return
    if result.error or result.results != [42]:
        yield _failed("luajit", result.error or ScriptError(f"6 * 7 gave {result.results}"))
        return
    engine = result.engine or "?"
    slow = "" if engine.startswith("LuaJIT") else ": scripts run more slowly, since this lupa was built without LuaJIT"
    yield Check("luajit", None if slow else True, engine + slow)
    yield _isolation(result.isolation["missing"])


def _isolation(missing: list[str]) -> Check:
    """The sandbox layers of the run, and why any others are unavailable."""
    from kosmolua.runtime import confine

    active = [name for name in confine.LAYERS if name not in missing]
    message = f"scripts run in a separate process with {', '.join(active)}"
    if not missing:
        return Check("isolation", ok=True, message=message)
    why = confine.available()
    reasons = "; ".join(f"{name}: {_reason(why[name])}" for name in missing)
    strict = "--isolation strict fails on this machine" if confine.REQUIRED.intersection(missing) else None
    return Check("isolation", None, f"{message}; not available: {reasons}", strict)


def _reason(found: bool | str) -> str:
    return found if isinstance(found, str) else "setup failed"


class _Nothing:
    """Receives the script's output; the script should print nothing."""

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        raise AssertionError(f"unexpected output on stream {stream}: {text!r}")


def _no_calls(function: str, account: str, arguments: bytes, _: object = None) -> Any:
    raise AssertionError(f"unexpected call of {function} on {account} with {len(arguments)} bytes of arguments")


def _emulator() -> Check:
    from importlib.util import find_spec

    if find_spec("werkzeug"):
        return Check("emulator", ok=True, message="installed")
    return Check("emulator", None, "not installed", "to install it: pip install 'kosmolua[emulator]'")
