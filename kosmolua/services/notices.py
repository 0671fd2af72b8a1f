"""Notifies a person of a new approval: runs the operator's command, or posts to the operator's URL.

Only the configuration chooses the recipient. A script controls nothing but the text of its arguments, which is JSON
data. The recipient's answer is not used.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib import error, request
from urllib.parse import urlsplit

import msgspec

from kosmolua.errors import ConfigurationError

SECONDS = 10.0  # maximum seconds for one attempt
TRIES = 3
PAUSE = 2.0  # seconds between attempts
_KEPT = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"})


class Notices:
    """Sends notifications on separate threads, each at most `TRIES` times; ``tell`` gets the reason if all fail."""

    def __init__(self, target: str | Sequence[str], tell: Callable[[str], None]) -> None:
        self._target = target
        self._tell = tell
        self._threads: list[threading.Thread] = []

    def send(self, message: Mapping[str, Any]) -> None:
        """Start to send. Never waits."""
        if not self._target:
            return
        thread = threading.Thread(target=self._deliver, args=(message,), name="kosmolua-notice", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait for notifications that are being sent, for at most `SECONDS`."""
        until = time.monotonic() + SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _deliver(self, message: Mapping[str, Any]) -> None:
        for left in reversed(range(TRIES)):
            failure = attempt(self._target, message)
            if failure is None:
                return
            if left:
                time.sleep(PAUSE)
        self._tell(f"could not notify anybody of an approval: {failure}")


def attempt(target: str | Sequence[str], message: Mapping[str, Any]) -> str | None:
    """Send once. Returns the reason if that fails."""
    body = msgspec.json.encode(message)
    try:
        return _post(target, body) if isinstance(target, str) else _run(target, body)
    except Exception as failure:  # noqa: BLE001 - the run continues, whatever failed
        return f"{type(failure).__name__}: {failure}"[:300]


def check(target: str | Sequence[str]) -> None:
    """Raise a `ConfigurationError` for a target that is neither a URL nor a command."""
    is_url = isinstance(target, str) and (not target or urlsplit(target).scheme in ("http", "https"))
    if is_url or (not isinstance(target, str) and (not target or target[0])):
        return
    raise ConfigurationError(
        f"approvals.notify: expected an http(s) URL, or a command as a list, got {target!r}"[:300],
        hint='for example: notify = ["/usr/local/bin/tell-me"]',
    )


def message_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The notification about a question."""
    return {"event": "approval.asked", "approval": dict(fields)}


def _run(command: Sequence[str], body: bytes) -> str | None:
    """Run the command without a shell, and without this process's environment, which may hold a token."""
    environment = {name: value for name, value in os.environ.items() if name in _KEPT}
    done = subprocess.run(  # noqa: S603 - the operator's own command
        list(command),
        input=body,
        env=environment,
        timeout=SECONDS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    return f"{command[0]} ended with status {done.returncode}" if done.returncode else None


class _NoRedirects(request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: only the configuration names the address."""


def _post(url: str, body: bytes) -> str | None:
    if urlsplit(url).scheme not in ("http", "https"):
        return f"not an http(s) URL: {url[:100]}"
    asked = request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "kosmolua"})  # noqa: S310
    try:
        with request.build_opener(_NoRedirects).open(asked, timeout=SECONDS):
            return None
    except error.HTTPError as failure:
        return f"{urlsplit(url).hostname} answered {failure.code}"
