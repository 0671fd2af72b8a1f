"""The server for webhooks and triggers in a thread, and the requests that others send to it."""

import base64
import hmac
import json
import threading
from collections import Counter
from contextlib import contextmanager

import httpx
from waiting import wait_until

from kosmolua.serve import server
from kosmolua.serve.app import app_of
from kosmolua.serve.replicate import Receiver, Secrets
from kosmolua.serve.triggers import Starter


class Receiving:
    """A running server. ``url`` is its address; ``counted`` has the outcomes, ``fetched`` the requests for signing
    secrets.
    """

    def __init__(self, database, emulator, accounts=("default",), queue=1000):
        self.counted = Counter()
        self.fetched = []
        self.emulator = emulator
        self._secrets = Secrets(self._fetch)
        count = lambda outcome: self.counted.update([outcome])  # noqa: E731
        clock = emulator.clock.time if emulator else None
        receiver = Receiver(database, self._secrets, accounts, count, **({"clock": clock} if clock else {}))
        self.app = app_of(receiver, Starter(database, queue, count))
        self.url = None

    @contextmanager
    def serving(self):
        opened = server.listening("127.0.0.1", 0)
        self.url = server.url_of(opened)
        made = server.server_of(self.app)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [opened]})
        thread.start()
        wait_until(lambda: made.started)
        try:
            yield self
        finally:
            made.should_exit = True
            thread.join()
            opened.close()

    def _fetch(self, account):
        self.fetched.append(account)
        return secret_of(self.emulator)

    def deliver(self, job, status="succeeded", *, identifier="msg_1", age=0.0, secret=None, account="default"):
        """Send a delivery like Replicate."""
        body = json.dumps({"id": job, "status": status, "urls": {}}).encode()
        headers = signed(secret or secret_of(self.emulator), body, identifier, self.emulator.clock.time() - age)
        return httpx.post(f"{self.url}/replicate/{account}", content=body, headers=headers)


def secret_of(emulator):
    return "whsec_" + base64.b64encode(emulator._world.webhook_key).decode()


def signed(secret, body, identifier, now):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = str(int(now))
    code = hmac.digest(key, f"{identifier}.{stamp}.".encode() + body, "sha256")
    return {
        "webhook-id": identifier,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(code).decode()}",
        "content-type": "application/json",
    }
