"""Run a session at the prompt without a terminal: ``prompted.py JOURNAL INPUTS``, the inputs as a JSON list. Prints
when it starts and when all inputs were entered.
"""

# ruff: noqa: T201 - the parent process reads it
import json
import signal
import sys

from kosmolua.cli import lua, repl
from kosmolua.cli import options as options_
from kosmolua.runtime.launch import LIMITS, launch


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # seconds between two inputs
    journal, inputs = sys.argv[1], json.loads(sys.argv[2])
    parsed = lua._parser("repl").parse_args(["--repl", "--write", "allow", "--settling-time", "0.5"])
    shell = repl._shell(parsed, options_.shared(parsed), [], LIMITS, launch(LIMITS))
    shell.enter(f":journal {journal}")
    print("begun", flush=True)
    for text in inputs:
        shell.enter(text)
    print("over", flush=True)
    shell.close(cancel=False)


if __name__ == "__main__":
    main()
