"""The scripts in examples/ run with the commands they begin with, in both isolation modes, and print the output they
end with."""

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
STATUS = {"budget": 5}  # the example of a budget ends with this status
AT_ONCE = 4  # the examples spend most of their time waiting


def commands_of(name):
    return re.findall(r"^-- \$ (kosmo lua .*)$", (EXAMPLES / f"{name}.lua").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def ran(request, tmp_path_factory):
    """Runs the selected examples concurrently, and returns the output and status for a name and an isolation mode."""
    base = tmp_path_factory.mktemp("tour")
    environment = clean_environment(base)  # copied once, since other tests change the environment meanwhile

    def run(name, isolation):
        directory = base / f"{name}-{isolation}"
        shutil.copytree(EXAMPLES, directory / "examples")
        shown = ""
        for line in commands_of(name):
            _, command, *rest = shlex.split(line)
            process = subprocess.run(
                [sys.executable, "-m", "kosmolua", command, "--isolation", isolation, *rest],
                cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
            )  # fmt: skip
            shown += process.stdout
        return shown, process.returncode

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
def test_an_example_prints_the_shown_output(ran, name, isolation):
    """Each example prints the stated output and ends with the expected status."""
    shown, status = ran(name, isolation)

    assert printed_as_expected(output_of((EXAMPLES / f"{name}.lua").read_text()), shown)
    assert STATUS.get(name, 0) == status


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_what_it_does(name):
    """Each example begins with a comment, names the command that runs it, shows its output, and fits on a screen."""
    source = (EXAMPLES / f"{name}.lua").read_text()
    code = [line for line in source.split("\n") if line.strip() and not line.startswith("--")]

    assert source.startswith("--")
    assert all(f" examples/{name}.lua" in command for command in commands_of(name))
    assert commands_of(name)
    assert "\n--> " in source
    assert len(code) <= 30
