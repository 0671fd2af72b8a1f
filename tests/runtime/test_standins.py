"""Stand-ins for modules disappear after the import, and become the real module when used."""

import json
import subprocess
import sys


def told(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_the_real_modules_are_found_afterwards():
    """A later import returns the real module, with the types that msgspec uses."""
    found = told(
        "import sys\n"
        "from kosmolua.cli import _import_libraries\n"
        "_import_libraries()\n"
        "before = sorted({'platform', 'textwrap', 'gettext', 'typing_extensions'} & set(sys.modules))\n"
        "import datetime, gettext, json, msgspec, platform, textwrap\n"
        "now = msgspec.json.decode(b'\"2026-01-02T03:04:05Z\"', type=datetime.datetime)\n"
        "files = [m.__file__.rpartition('/')[2] for m in (datetime, gettext, platform, textwrap)]\n"
        "print(json.dumps([before, files, now == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)]))"
    )

    assert [[], ["datetime.py", "gettext.py", "platform.py", "textwrap.py"], True] == found


def test_a_used_stand_in_becomes_the_real_module():
    """`msgspec` uses `textwrap` for the schemas of types with a docstring, which loads the real module."""
    found = told(
        "import json, sys\n"
        "from kosmolua.cli import _import_libraries\n"
        "_import_libraries()\n"
        "import msgspec\n"
        "class Point(msgspec.Struct):\n"
        "    '''A point.\\n\\n    Two lines.'''\n"
        "    x: int\n"
        "schema = msgspec.json.schema(Point)\n"
        "print(json.dumps(schema['$defs']['Point']['description']))"
    )

    assert found.startswith("A point.")


def test_loaded_modules_are_not_replaced():
    """Modules that were imported before are not replaced."""
    found = told(
        "import argparse, datetime, json, platform, sys\n"
        "from kosmolua.runtime.standins import StandIn, StandingIn\n"
        "with StandingIn(StandIn('platform'), StandIn('datetime'), StandIn('textwrap', dedent=str)):\n"
        "    same = sys.modules['platform'] is platform and sys.modules['datetime'] is datetime\n"
        "    import textwrap\n"
        "    named, late = textwrap.dedent is str, textwrap.fill('a b', 1)\n"
        "print(json.dumps([same, named, late, sys.modules['textwrap'].dedent is str]))"
    )

    assert [True, True, "a\nb", False] == found


def test_a_child_needs_no_package_of_the_engine():
    """The engine can be imported alone and works, also in an interpreter that has loaded more modules."""
    code = (
        "import json, sys\n"
        "from kosmolua.runtime.state import State, import_alone\n"
        "import_alone()\n"
        "absent = sorted({'lupa', 'contextlib', 'functools', 'collections'} & set(sys.modules))\n"
        "state = State()\n"
        "try: state.run_module_text(b'error(1)')\n"
        "except state.error: print('[\"error\", ' + ('\"loaded\"' if absent else '\"alone\"') + ']')\n"
    )
    plain = code.replace("import json, sys", "import sys; sys.path += " + repr(sys.path))
    run = subprocess.run([sys.executable, "-I", "-S", "-c", plain], capture_output=True, text=True, check=True)

    assert ["error", "alone"] == json.loads(run.stdout)
    assert ["error", "loaded"] == told(code)
