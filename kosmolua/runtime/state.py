"""A Lua state with the modules of ``lua/``, connected to a port.

Scripts never see Python: source is loaded by Lua's own ``load`` in mode "t" (lupa's would accept bytecode), the only
Python objects in the state are two or three functions, and these pass only bytes and small integers.
"""

from __future__ import annotations

import os
import sys

from kosmolua.errors import ConfigurationError
from kosmolua.runtime.standins import StandIn, StandingIn

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MODULES = (
    "values", "msgpack", "json", "dump", "file", "guard", "sandbox", "pattern", "program", "regex", "pipe", "task",
    "preview", "interactive", "advice", "failures", "inspection", "code", "stdio", "system", "determinism", "bridge",
    *(f"workflow/{name}" for name in (
        "options", "sequence", "output", "place", "create", "wait", "run", "stream", "pages", "files", "workflow",
    )),
)  # fmt: skip
ENGINES = ("luajit21", "lua54")  # lupa's engine modules, the best first

# `use` is the only loader in the state. It loads each module once, from text or from the bytecode that `compiled` made
# from it in this program.
_LOADER = b"""
local sources, modes, loaded = {}, {}, {}
local function use(name)
  if loaded[name] == nil then
    loaded[name] = assert(load(sources[name], "=" .. name .. ".lua", modes[name]))(use)
    sources[name] = nil
  end
  return loaded[name]
end
return function(name, source, mode) sources[name], modes[name] = source, mode end, use
"""
_COMPILER = b"""
local source, name = ...
return string.dump(assert(load(source, "=" .. name .. ".lua", "t")))
"""

# Answers are bytes, or a number if they do not fit into the remaining memory.
_INLINE_PORT = b"""
local use, submit, wait, alive = ...
local pcall = pcall
-- A signal's exception may be raised as a function is called: it goes back to the host, never to the script.
local function kept(ok, answer)
  if ok then return answer end
  pcall(alive, answer)
  return 0
end
use("bridge").serve({
  submit = function(frame)
    if kept(pcall(submit, frame)) == 0 then error("the host has ended this run", 0) end
  end,
  wait = function()
    local answer = kept(pcall(wait, 0))
    if type(answer) == "number" then error("not enough memory", 0) end
    return answer
  end,
  alive = alive and function() return kept(pcall(alive, 0)) end,
})
"""
_PIPE_PORT = b"""
local use, input, output = ...
use("bridge").serve(use("pipe").open(input, output))
"""
_WATCH_CPU = b"""
local use, cpu = ...
use("guard").watch(cpu)
"""
_WATCH = b"""
local use, descriptor = ...
use("interactive").watch(descriptor)
"""

# Uses the FFI because importing ctypes takes 2 ms, a tenth of the child's start.
_KERNEL = b"""
local ffi = require("ffi")
ffi.cdef("long syscall(long number, ...);")
local filter = ffi.typeof("struct { unsigned short count; const uint8_t *code; uint8_t bytes[?]; }")

local function call(number, ...)
  local words = { ... }
  for i = 1, 5 do
    words[i] = ffi.cast(type(words[i]) == "number" and "long" or "const char *", words[i] or nil)
  end
  local answer = tonumber(ffi.C.syscall(number, words[1], words[2], words[3], words[4], words[5]))
  return answer >= 0 and answer or -ffi.errno()
end

local function install(number, code)
  local made = filter(#code, #code / 8)
  ffi.copy(made.bytes, code, #code)
  made.code = made.bytes
  return call(number, 1, 0, ffi.cast("const char *", made))
end

return call, install
"""


def lua_directory() -> str:
    """The directory of the Lua modules: in the package if installed, or next to it in a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for directory in (os.path.join(package, "lua"), os.path.join(os.path.dirname(package), "lua")):
        if os.path.isfile(os.path.join(directory, "bridge.lua")):
            return directory
    raise ConfigurationError(
        f"the Lua part of kosmolua is missing in {package}",
        hint="reinstall it: pip install --force-reinstall kosmolua",
    )


def _source(directory: str, name: str) -> bytes:
    with open(os.path.join(directory, f"{name}.lua"), "rb") as file:
        return file.read()


class Modules:
    """The modules of ``lua/``: as text, or as bytecode, which loads in a tenth of the time (0.4 ms instead of 3.3
    ms).
    """

    def __init__(self, contents: Mapping[str, bytes], mode: bytes = b"t") -> None:
        self.contents = contents
        self.mode = mode

    @classmethod
    def read(cls) -> Modules:
        directory = lua_directory()
        return cls({name: _source(directory, name) for name in MODULES})


class State:
    """A LuaJIT state, or PUC Lua 5.4 if lupa has no LuaJIT (macOS). ``memory_limit`` is in bytes; ``engine`` is a
    module of lupa, by default the best one available. ``modules`` are the given ones, or chosen by a function of the
    engine's name and version; otherwise they are read from their files.
    """

    def __init__(
        self,
        memory_limit: int | None = None,
        engine: str | None = None,
        modules: Modules | Callable[[str], Modules] | None = None,
    ) -> None:
        runtime, self.error, self.memory_error = load_engine(engine)
        options = {"max_memory": memory_limit} if memory_limit else {}
        self._lua = runtime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_handlers=(_deny, _deny),
            **options,
        )
        define, self._use = self._lua.execute(_LOADER)
        self._as_function = self._lua.globals()[b"python"][b"as_function"]
        self._lua.globals()[b"python"] = None
        if not isinstance(modules, Modules):
            modules = modules(self._lua.lua_implementation.decode()) if modules else Modules.read()
        for name, content in modules.contents.items():
            define(name.encode(), content, modules.mode)

    @property
    def has_ffi(self) -> bool:
        """Whether the state can read and write file descriptors without Python."""
        return bool(self._lua.eval("jit ~= nil"))

    def compiled(self, modules: Modules) -> Modules:
        """The modules as bytecode for states of this engine, with line numbers; as text if the engine is not LuaJIT.
        Bytecode is trusted like machine code: only this function's results may be loaded as bytecode.
        """
        if not self.has_ffi or modules.mode == b"b":
            return modules
        made = {
            name: self._lua.execute(_COMPILER, content, name.encode()) for name, content in modules.contents.items()
        }
        return Modules(made, b"b")

    def close(self) -> None:
        """Free the state now. Otherwise the Python objects that Lua holds would keep it alive until a garbage
        collection.
        """
        from contextlib import suppress

        self._use = self._as_function = None
        with suppress(self.error, self.memory_error):
            self._lua.execute(b"collectgarbage() collectgarbage()")

    def kernel(self) -> tuple[Callable[..., int], Callable[[int, bytes], int]]:
        """The two functions for a `kosmolua.runtime.confine.Kernel`. Needs an FFI."""
        call, install = self._lua.execute(_KERNEL)
        return call, install

    def disable_compiler(self) -> None:
        """Turn the JIT off, to reduce the attack surface: no compiler and no memory with machine code."""
        self._lua.execute(b"if jit then jit.off() jit.flush() end")

    def watch_cpu(self, seconds: float) -> None:
        """Let Lua report the script's line when this process has used that much CPU time, which SIGPROF signals. Needs
        LuaJIT. Call it before seccomp is applied.
        """
        self._lua.execute(_WATCH_CPU, self._use, seconds)

    @property
    def memory_used(self) -> int:
        return int(self._lua.get_memory_used() or 0)

    @property
    def memory_limit(self) -> int | None:
        return self._lua.get_max_memory() or None

    def serve_pipe(self, descriptor_in: int, descriptor_out: int) -> None:
        """Run the script in the first frame, exchanging frames over two file descriptors."""
        self._lua.execute(_PIPE_PORT, self._use, descriptor_in, descriptor_out)

    def watch(self, descriptor: int) -> None:
        """Watch the shared memory behind a descriptor for interrupts of interactive inputs. Needs an FFI."""
        self._lua.execute(_WATCH, self._use, descriptor)

    def serve(
        self,
        submit: Callable[[bytes], int],
        wait: Callable[[int], bytes | int],
        alive: Callable[[int], int] | None = None,
    ) -> None:
        """Run the script that `wait` returns first. None of the functions may raise. ``alive`` is called while the
        script runs and returns 0 to end it; it gets any exception raised while one of the three was being called.
        """
        functions = [self._as_function(each) for each in (submit, wait, alive) if each]
        self._lua.execute(_INLINE_PORT, self._use, *functions)

    def run_module_text(self, source: bytes) -> Any:
        """Run trusted Lua with the loader as its argument: for the specs of the modules."""
        return self._lua.execute(source, self._use)


def import_alone() -> None:
    """Import the engine without its package, which loads contextlib, and without collections and functools, which lupa
    needs for decorators and old names only: together a fifth of the time to start a child. For single-threaded
    processes. If this version of lupa needs more of these modules, the first state imports it as usual.
    """
    found = filter(None, (finder.find_spec("lupa", None) for finder in sys.meta_path))
    package: Any = next(found, None)
    if not package or engine_is_loaded():
        return
    abstract = sys.modules["_collections_abc"]  # already loaded by os
    standing_in = StandingIn(
        StandIn("lupa", __path__=package.submodule_search_locations, __spec__=package),
        StandIn("collections", __path__=[], abc=abstract),
        StandIn("functools", wraps=_unwrapped),
        **{"collections.abc": abstract},
    )
    try:
        with standing_in:
            load_engine(None)
    except (AttributeError, ConfigurationError, ImportError):
        sys.modules.pop("lupa", None)


def engine_is_loaded() -> bool:
    """Whether lupa has loaded an engine in this process."""
    return any(f"lupa.{name}" in sys.modules for name in ENGINES)


def _unwrapped(_: Any) -> Callable[[Any], Any]:
    return lambda function: function


def engine_file() -> str:
    """The file of the loaded engine."""
    return next(str(sys.modules[name].__file__) for each in ENGINES if (name := f"lupa.{each}") in sys.modules)


def load_engine(name: str | None) -> tuple[Any, type[Exception], type[Exception]]:
    """The engine of that name, or the best one in lupa's wheel for this platform."""
    for candidate in (name,) if name else ENGINES:
        try:
            module = __import__(f"lupa.{candidate}", fromlist=["LuaRuntime"])  # not importlib, which imports warnings
        except ModuleNotFoundError:
            continue
        except ImportError as error:  # an engine that exists but fails to load is never replaced by another
            raise ConfigurationError(
                f"lupa.{candidate} cannot be loaded: {error}",
                hint="reinstall it: pip install --force-reinstall lupa",
            ) from None
        return module.LuaRuntime, module.LuaError, module.LuaMemoryError
    raise ConfigurationError(
        "lupa has neither LuaJIT nor Lua 5.4", hint="reinstall it: pip install --force-reinstall lupa"
    )


def _deny(*_: Any) -> Any:
    raise AttributeError("Python attributes are not accessible")
