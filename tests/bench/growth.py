"""Measures how cost grows: each row at three sizes, and the order of growth (0 constant, 1 linear, 2 quadratic).

python tests/bench/growth.py [ROW ...]
"""

import math
import os
import sys
import time

from kosmolua import Host, Limits
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import Call, decide, policy_of
from kosmolua.settings import config


def resident():
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu(action):
    began = time.process_time()
    action()
    return time.process_time() - began


def a_call_that_no_rule_names(rules):
    """Microseconds of one decision."""
    rule = config.Rule("ask", "create_*", arguments={"model": "owner/name"})
    in_force = policy_of(config.Settings(rules=(("config.toml", rule),) * rules))
    call = Call(resolve("get_account"), "default", {}, complete=True)
    decide(in_force, call)
    return cpu(lambda: [decide(in_force, call) for _ in range(1000)]) * 1000


def memory_after_runs_that_hit_limits(runs):
    """MiB that are held after runs with 2 MiB of output each; less than one counts as one."""
    with Host(emulate=True, limits=Limits(output=2 << 20)) as host:
        host.run("return 1")
        before = resident()
        for _ in range(runs):
            host.run("while true do print(('x'):rep(100000)) end")
        return max(1.0, (resident() - before) / 2**20)


def calls_of_one_run(calls):
    """Milliseconds of CPU of this process."""
    with Host(emulate=True) as host:
        host.run("return integrations.replicate.get_account{}")
        source = "for _ = 1, tonumber(args[1]) do integrations.replicate.get_account{} end"
        return cpu(lambda: host.run(source, [str(calls)])) * 1000


ROWS = {
    "rules": (a_call_that_no_rule_names, (20, 200, 2000), "us"),
    "limits": (memory_after_runs_that_hit_limits, (5, 20, 80), "MiB"),
    "calls": (calls_of_one_run, (500, 2000, 8000), "ms"),
}


def main():
    for name in sys.argv[1:] or ROWS:
        measure, sizes, unit = ROWS[name]
        found = [measure(size) for size in sizes]
        order = math.log(found[-1] / found[0]) / math.log(sizes[-1] / sizes[0])
        figures = "   ".join(f"{size}: {figure:.1f} {unit}" for size, figure in zip(sizes, found, strict=True))
        print(f"{name:<8}{figures}   order {order:.2f}")


if __name__ == "__main__":
    main()
