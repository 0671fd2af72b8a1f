"""The built wheel, installed alone, as a user gets it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the checkout without an isolated environment, so that no network is needed."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_lua_modules(wheel):
    """The wheel contains every Lua module, and neither tests nor examples."""
    names = zipfile.ZipFile(wheel).namelist()

    shipped = {f"kosmolua/{path.relative_to(ROOT)}" for path in (ROOT / "lua").rglob("*.lua")}
    assert shipped <= set(names)
    assert not [name for name in names if name.startswith(("tests", "examples", "lua/"))]


def test_a_script_runs_from_the_wheel(wheel, tmp_path):
    """With only the unpacked wheel on the path, a script runs in a child process and against the emulator."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import kosmolua;"
        f"assert kosmolua.__file__.startswith({str(site)!r}), kosmolua.__file__;"
        "from kosmolua.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    source = "return integrations.replicate.get_account{}.username"

    command = [sys.executable, "-I", "-c", code, "lua", "--emulate", "--eval", source]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert (0, "emulator\n", "") == (ran.returncode, ran.stdout, ran.stderr)


def test_the_three_names_are_one_program():
    """The commands kosmo, kosmokrator and kosmolua start the same function."""
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert {"kosmo", "kosmokrator", "kosmolua"} == scripts.keys()
    assert 1 == len(set(scripts.values()))
