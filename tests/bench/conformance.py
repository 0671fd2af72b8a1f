"""Runs the official conformance suite against the HTTP transport, and prints the results that docs/mcp.md states:

    python tests/bench/conformance.py --modules DIR

DIR contains node_modules with @modelcontextprotocol/conformance 0.1.16, which requires Node.js 22. The suite tests the
server in tests/mcp/conformance_server.py.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

FIXTURE = Path(__file__).parent.parent / "mcp" / "conformance_server.py"
# Scenarios of features that the product does not offer: logging, completion, sampling, subscriptions, and own forms.
ABSENT = {
    *{"logging-set-level", "tools-call-with-logging", "completion-complete", "tools-call-sampling"},
    *{"tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums"},
    *{"resources-subscribe", "resources-unsubscribe"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", metavar="DIR", type=Path, required=True)
    given = parser.parse_args()
    suite = given.modules / "node_modules" / ".bin" / "conformance"
    with subprocess.Popen([sys.executable, FIXTURE, "0"], stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        command = ["node", suite, "server", "--url", url]
        printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        server.terminate()
    found = {name: mark for mark, name in re.findall(r"^([✓✗]) (\S+):", printed, re.MULTILINE)}
    passed = {name for name, mark in found.items() if mark == "✓"}
    print(f"{len(passed)} of {len(found)} scenarios passed; {len(ABSENT & found.keys())} test features not offered")
    unexpected = sorted(found.keys() - passed - ABSENT)
    print(f"failed: {', '.join(unexpected) or 'none'}")
    sys.exit(bool(unexpected))


if __name__ == "__main__":
    main()
