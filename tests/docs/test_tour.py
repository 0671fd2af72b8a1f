"""The examples: each is run by the command in its head, in either isolation, and prints what stands at its end."""

import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from shown import output_of, printed_as_expected
from surroundings import EXAMPLES, clean_environment

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.lua"))
STATUS = {"budget": 5}  # of the one that shows how a run is ended
AT_ONCE = 4  # most of the time they wait


def command_of(source):
    (command,) = re.findall(r"^-- \$ (kosmo lua .*)$", source, re.MULTILINE)
    return command


@pytest.fixture(scope="module")
def ran(request, tmp_path_factory):
    """The examples that are to be tested, run side by side: name and isolation -> the process, when it has ended."""

    base = tmp_path_factory.mktemp("tour")

    def run(name, isolation):
        directory = base / f"{name}-{isolation}"
        shutil.copytree(EXAMPLES, directory / "examples")
        _, command, *rest = shlex.split(command_of((EXAMPLES / f"{name}.lua").read_text()))
        return subprocess.run(
            [sys.executable, "-m", "kosmolua", command, "--isolation", isolation, *rest],
            cwd=directory, env=clean_environment(directory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip

    wanted = [
        (item.callspec.params["name"], item.callspec.params["isolation"])
        for item in request.session.items
        if item.path == request.path and "isolation" in getattr(item, "fixturenames", ())
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {each: pool.submit(run, *each) for each in wanted}
        yield lambda *each: futures[each].result()


@pytest.mark.parametrize("isolation", ["standard", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_it_says(ran, name, isolation):
    """Standard error included, and it ends with the status that it says."""
    process = ran(name, isolation)

    assert printed_as_expected(output_of((EXAMPLES / f"{name}.lua").read_text()), process.stdout)
    assert STATUS.get(name, 0) == process.returncode


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_what_it_does(name):
    """It starts with a comment, names the command that runs it, shows its output, and fits on a screen."""
    source = (EXAMPLES / f"{name}.lua").read_text()
    code = [line for line in source.split("\n") if line.strip() and not line.startswith("--")]

    assert source.startswith("--")
    assert f" examples/{name}.lua" in command_of(source)
    assert "\n--> " in source
    assert len(code) <= 30
