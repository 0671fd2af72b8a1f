"""A host frees the memory of ended runs, even before a garbage collection."""

import gc

import pytest

from kosmolua import Host, Limits
from kosmolua.host.script import ScriptRun

SCRIPTS = {
    "values": ("print('x') return 1", None),
    "error": ("print(('x'):rep(1000)) error('it failed')", "script_error"),
    "output": ("while true do print(('x'):rep(1000)) end", "limit_reached"),
    "refusal": ("return integrations.replicate.get_prediction{}", "invalid_arguments"),
}


def runs():
    return [each for each in gc.get_objects() if isinstance(each, ScriptRun)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_is_freed_with_its_result(name):
    """Neither an error nor a handler keeps a run, with up to 10 MiB of output, in a reference cycle."""
    source, code = SCRIPTS[name]
    with Host(emulate=True, limits=Limits(output=100_000)) as host:
        gc.collect()
        before = {id(each) for each in runs()}  # a failed test's report may keep one run
        gc.disable()
        try:
            for _ in range(4):
                result = host.run(source)
            left = [each for each in runs() if id(each) not in before]
        finally:
            gc.enable()

    assert code == (result.error and result.error.code)
    assert len(left) <= 1  # a thread of the last run may still be ending
