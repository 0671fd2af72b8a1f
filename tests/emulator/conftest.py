from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from kosmolua.emulator import Emulator, ManualClock

BASE = "http://emulator.localhost/v1"
HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SDXL = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf"


def connect(emulator, token="r8_any"):
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(transport=httpx.WSGITransport(app=emulator), base_url=BASE, headers=headers)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def emulator(clock):
    return Emulator(clock=clock, seed="tests")


@pytest.fixture
def api(emulator):
    with connect(emulator) as client:
        yield client


@pytest.fixture
def world(clock):
    """The names that most tests need, and a function that makes an emulator with faults."""

    def misbehaving(*faults):
        return connect(Emulator(clock=clock, faults=faults, seed="tests"))

    def run(api, model, given, **headers):
        return api.post(f"/models/{model}/predictions", json={"input": given}, headers=headers)

    def hello(api, **headers):
        body = {"version": HELLO, "input": {"text": "Ada"}}
        return api.post("/predictions", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return SimpleNamespace(
        hello_version=HELLO, sdxl=SDXL, misbehaving=misbehaving, run=run, hello=hello, connect=connect
    )
