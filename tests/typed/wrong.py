"""Misuses that a type checker has to refuse: exactly the lines with the comment "refused"."""

from __future__ import annotations

from kosmolua import Caps, Host, Limits

Host(write="yes")  # refused
Host(isolation="full")  # refused
Host("default")  # refused
Host(limits=Caps())  # refused
Host(caps=Limits())  # refused
Host(on_output=print, on_call=lambda: None)  # refused
with Host() as host:
    host.run(b"return 1", args=[1])  # refused
    host.call("get_account", ["a"])  # refused
    print(host.run("return 1").error.code)  # refused
