"""Runs the specs of existing Lua libraries in the sandbox: ``python tests/existing_lua/measure.py FOLDER [NAME …]``.

FOLDER contains a checkout of each repository: exercism's ``lua``, ``Penlight``, ``luaunit``, ``LuLPeg``, ``lume``,
``serpent``, ``ftcsv``, ``inspect.lua``, ``middleclass``, ``argparse``, ``luafun``. This program is not part of the test
suite; its output is in docs/existing-lua.md.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from kosmolua import Host, Limits

HERE = Path(__file__).parent
SHOWN = 300  # characters shown of a failure message
LIMITS = Limits(cpu=60.0, memory=1 << 29)


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(directory: Path, source: str, name: str = "run.lua") -> tuple[object, str]:
    """The first result of a script and its error; the script may read and write its directory."""
    os.chdir(directory)
    reading = [directory.as_posix()]
    with Host(emulate=True, allow_read=reading, allow_write=reading, prepare=False, limits=LIMITS) as host:
        result = host.run(source, name=(directory / name).as_posix())
    return result.value if result.error is None else None, "" if result.error is None else str(result.error.message)


def specs(directory: Path, *files: str, before: str = "") -> tuple[int, list[str]]:
    """The number of passing tests in some specs, and the failures."""
    for shim in ("busted.lua", "tested.lua"):
        shutil.copy(HERE / shim, directory / shim)
    loads = "".join(
        f"local f, m = load(file('{directory / file}'):read(), '@{file}') if not f then error(m, 0) end f()\n"
        for file in files
    )
    value, error = run(directory, f"require('busted')\n{before}\n{loads}\nreturn finish()")
    if not isinstance(value, dict):
        return 0, [error]
    return int(value["passed"]), [str(each) for each in value["failures"]]


# Operators of Lua 5.3 in order of precedence, and the functions that replace them in LuaJIT.
OPERATORS = (("//", "floor_divide"), ("<<", "shift_left"), (">>", "shift_right"), ("&", "bits_and"), ("|", "bits_or"))
OPERAND = r"(?:[\w.]+|\((?:[^()]|\([^()]*\))*\))(?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])*"
FUNCTIONS = (
    "local function floor_divide(a, b) return math.floor(a / b) end "
    "local function unsigned(n) return n % 4294967296 end "
    "local function shift_left(a, b) return unsigned(bit.lshift(a, b)) end "
    "local function shift_right(a, b) return unsigned(bit.rshift(a, b)) end "
    "local function bits_and(a, b) return unsigned(bit.band(a, b)) end "
    "local function bits_or(a, b) return unsigned(bit.bor(a, b)) end "
)


def rewritten(source: str) -> str:
    """The source with operators of Lua 5.3 replaced by functions; sufficient for the examples of the exercises."""
    for operator, function in OPERATORS:
        pattern = re.compile(rf"(?<![\w.])({OPERAND}) {re.escape(operator)} ({OPERAND})")
        for _ in range(9):
            source = pattern.sub(rf"{function}(\1, \2)", source)
    return FUNCTIONS + source


def exercism(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Each exercise's example solution, tested with the exercise's spec."""
    for exercise in sorted((folder / "lua/exercises/practice").iterdir()):
        with tempfile.TemporaryDirectory() as made:
            place = Path(made)
            for file in exercise.iterdir():
                if file.is_file():
                    shutil.copy(file, place / file.name)
            for spec in exercise.glob("*_spec.lua"):
                example = place / spec.name.replace("_spec.lua", ".lua")
                shutil.copy(exercise / ".meta/example.lua", example)
            files = [spec.name for spec in exercise.glob("*_spec.lua")]
            passed, failed = specs(place, *files)
            if failed and re.search(r"//|<<|>>|&|\|", example.read_text()):
                example.write_text(rewritten(example.read_text()))
                passed, failed = specs(place, *files)
                show(f"    {exercise.name}: operators of Lua 5.3 were rewritten")
        yield exercise.name, passed, failed


def penlight(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Whether each module of Penlight loads."""
    for file in sorted((folder / "Penlight/lua/pl").glob("*.lua")):
        value, error = run(folder / "Penlight/lua", f"return require('pl.{file.stem}') ~= nil")
        yield file.stem, int(value is True), [error] if error else []


def penlight_tests(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Penlight's older tests, which are plain scripts, and its specs."""
    place = folder / "Penlight"
    path = "package.path = './lua/?.lua;./lua/?/init.lua;./tests/?.lua;' .. package.path\n"
    for file in sorted((place / "tests").glob("test-*.lua")):
        value, error = run(place, f"{path}arg = {{ [0] = 'x' }} require('tests.{file.stem}') return true")
        yield file.stem, int(value is True), [error] if error else []
    for file in sorted((place / "spec").glob("*_spec.lua")):
        passed, failed = specs(place, f"spec/{file.name}", before=path)
        yield file.stem, passed, failed


def luaunit(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """LuaUnit's own unit tests."""
    place = folder / "luaunit"
    for file in sorted((place / "test").glob("test_*.lua")):
        source = f"""
          package.path = './?.lua;./test/?.lua;' .. package.path
          local lu = require('luaunit')
          require('test.{file.stem}')
          local runner = lu.LuaUnit.new()
          runner:setOutputType('nil')
          runner:runSuite('--pattern', 'Test')
          local failed = {{}}
          for _, node in ipairs(runner.result.failedTests) do
            failed[#failed + 1] = node.testName .. ': ' .. tostring(node.msg)
          end
          for _, node in ipairs(runner.result.errorTests or {{}}) do
            failed[#failed + 1] = node.testName .. ': ' .. tostring(node.msg)
          end
          return {{ passed = runner.result.successCount, failures = failed }}
        """
        value, error = run(place, source)
        known = value if isinstance(value, dict) else {"passed": 0, "failures": [error]}
        yield file.stem, int(known["passed"]), [str(each) for each in known["failures"]]


def lulpeg(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Whether LuLPeg loads, and matches a pattern."""
    source = """
      local lpeg = require('lulpeg')
      local P, R, S, C, Ct, V = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Ct, lpeg.V
      local number = C(R('09')^1) / tonumber
      local space = S(' \\t')^0
      local list = Ct(number * (space * P(',') * space * number)^0) * -1
      local found = list:match('1, 22 ,333')
      assert(#found == 3 and found[2] == 22 and found[3] == 333)
      local balanced = P { '(' * ((1 - S('()')) + V(1))^0 * ')' }
      assert(balanced:match('(a(b)c)') == 8 and balanced:match('(a') == nil)
      return true
    """
    value, error = run(folder / "LuLPeg", source)
    yield "matches", int(value is True), [error] if error else []
    test = """
      arg = { [0] = 'tests/lpeg.0.12.test.lua', 'lulpeg' }
      local shown, usual = {}, print
      function print(...) shown = { ... } end
      dofile('tests/lpeg.0.12.test.lua')
      print = usual
      return { passed = tonumber(shown[3]), failed = tonumber(shown[5]) }
    """
    value, error = run(folder / "LuLPeg", test)
    known = value if isinstance(value, dict) else {"passed": 0, "failed": 1}
    yield "lpeg.0.12.test", int(known["passed"]), [error or "an assertion"] * int(known["failed"])


def lume(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """lume's own test, which prints its results and exits."""
    source = """
      package.path = './?.lua;./test/?.lua;./test/util/?.lua;' .. package.path
      local usual, lines = print, {}
      function print(...) lines[#lines + 1] = table.concat({ ... }, ' ') end
      os.exit = function() error('exit', 0) end
      local ok, failure = pcall(dofile, 'test/test.lua')
      print = usual
      if not ok and failure ~= 'exit' then error(failure, 0) end
      return lines
    """
    value, error = run(folder / "lume", source)
    lines = [str(each) for each in value] if isinstance(value, list) else []
    show("    " + " | ".join(lines)[-SHOWN:])
    failed = [each for each in lines if "FAIL" in each and " 0 " not in each]
    yield "test", sum("PASS" in each for each in lines), [error] if error else failed


def of_specs(name: str, pattern: str, before: str = "") -> Callable[[Path], Iterator[tuple[str, int, list[str]]]]:
    """The results of a library whose tests are busted specs."""

    def measured(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
        place = folder / name
        for file in sorted(place.glob(pattern)):
            relative = file.relative_to(place).as_posix()
            passed, failed = specs(place, relative, before=before)
            yield relative, passed, failed

    return measured


def scripts(name: str, pattern: str, path: str) -> Callable[[Path], Iterator[tuple[str, int, list[str]]]]:
    """The results of a library whose tests are scripts that raise an error if they fail."""

    def measured(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
        place = folder / name
        for file in sorted(place.glob(pattern)):
            module = file.relative_to(place).with_suffix("").as_posix()
            value, error = run(place, f"package.path = '{path};' .. package.path require('{module}') return true")
            yield module, int(value is True), [error] if error else []

    return measured


def luafun(folder: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Luafun's tests, which are lines of code, each followed by a comment with the expected output."""
    place = folder / "luafun"
    source = (HERE / "doctest.lua").read_text()
    for file in sorted((place / "tests").glob("*.lua")):
        if file.name == "runtest.lua":
            continue
        value, error = run(place, f"local path = 'tests/{file.name}'\n{source}")
        known = value if isinstance(value, dict) else {"passed": 0, "failures": [error]}
        yield file.stem, int(known["passed"]), [str(each) for each in known["failures"]]


LIBRARIES: dict[str, Callable[[Path], Iterator[tuple[str, int, list[str]]]]] = {
    "exercism": exercism,
    "penlight": penlight,
    "penlight-tests": penlight_tests,
    "luaunit": luaunit,
    "lulpeg": lulpeg,
    "lume": lume,
    "serpent": scripts("serpent", "t/test.lua", "./src/?.lua;./t/?.lua"),
    "ftcsv": of_specs("ftcsv", "tests/*_test.lua", "require('tested')"),
    "inspect": of_specs("inspect.lua", "spec/*_spec.lua"),
    "middleclass": of_specs("middleclass", "spec/*_spec.lua"),
    "argparse": of_specs("argparse", "spec/*_spec.lua", "package.path = './src/?.lua;' .. package.path"),
    "luafun": luafun,
}


def main(folder: Path, names: list[str]) -> None:
    for name in names or LIBRARIES:
        rows = list(LIBRARIES[name](folder))
        whole = [row for row in rows if not row[2]]
        passed, failed = sum(row[1] for row in rows), sum(len(row[2]) for row in rows)
        show(f"{name}: {len(whole)} of {len(rows)} whole; {passed} tests passed, {failed} failed")
        for part, _, failures in rows:
            for failure in failures[:5]:
                show(f"    {part}: {failure[:SHOWN]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
