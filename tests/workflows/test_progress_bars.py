"""Scripts and host find the same progress bars in logs."""

import json
from pathlib import Path

import pytest

from kosmolua.runtime import marshal
from kosmolua.runtime.state import State
from kosmolua.services.progress import percent_of

CASES = json.loads((Path(__file__).parent / "progress.json").read_text())
READ = b"""
local use = ...
local msgpack, output = use("msgpack"), use("workflow/output")
return function(frame)
  local found = output.progress(msgpack.decode(frame))
  return found and table.concat({ found.percent, ("%.0f"):format(found.step), ("%.0f"):format(found.steps) }, " ") or ""
end
"""


@pytest.mark.parametrize("engine", ["luajit21", "lua54"])
@pytest.mark.parametrize(("logs", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_progress_bar(logs, expected, engine):
    """A script gets percent, step and steps of the last bar; the host only needs percent."""
    read = State(engine=engine).run_module_text(READ)
    found = bytes(read(marshal.encode(logs))).decode()

    assert expected == ([int(word) for word in found.split(" ")] if found else None)
    assert (expected[0] if expected else None) == percent_of(logs)
