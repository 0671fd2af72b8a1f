#!/usr/bin/env bash
# Package: lupa 2.8 (PyPI).
# Expected: a KeyboardInterrupt that is raised while a module is imported comes out of the import statement.
# Found: the extension module needs `zlib` to unpack its own strings, and turns whatever is raised in that import into an
#   ImportError about a broken module. A program that falls back to another engine on ImportError continues with
#   PUC Lua instead of ending.
# For users: kosmolua imports lupa in a thread of its own (kosmolua/runtime/inline.py), where no interrupt is raised, and
#   never falls back to another engine on an ImportError other than ModuleNotFoundError.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check lupa==2.8
seen=$(venv/bin/python - <<'PYTHON'
import signal
import sys


class InterruptAt:
    """A finder that gets a SIGINT as it is asked for a module, which is where a slow disk would keep it waiting."""

    def find_spec(self, name, *_):
        if name == "zlib":
            print("interrupted in the import of", name)
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, InterruptAt())
try:
    import lupa.luajit21
    print("imported", lupa.luajit21.__name__)
except (KeyboardInterrupt, ImportError) as error:
    print(type(error).__name__, str(error).partition(" - ")[0])
PYTHON
)
echo "lupa 2.8:"; echo "$seen"
[ "$seen" = "interrupted in the import of zlib
ImportError Failed to import 'zlib.decompress'" ]
