"""The names a script may use: those of the sandbox, and those of other Lua versions, which the sandbox may lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

Names = Mapping[str, frozenset[str]]
"""Each global, with its fields if it is a table."""


def _names(rows: str) -> Names:
    """Parse lines ``global: field field``; a line without a colon lists plain globals."""
    found: dict[str, frozenset[str]] = {}
    for row in rows.strip().splitlines():
        name, colon, fields = row.partition(":")
        found |= {name.strip(): frozenset(fields.split())} if colon else dict.fromkeys(row.split(), frozenset[str]())
    return MappingProxyType(found)


# The same as `engine.names` in a real sandbox, without a provider's functions; a test compares the two.
KNOWN = _names("""
_G _VERSION app append_file args assert collectgarbage dofile download dump each error exit file getmetatable
integrations ipairs load loadfile loadstring log next pairs parallel pcall print race rawequal rawget rawset replicate
require run select setmetatable sleep spawn stream time tonumber tostring type unpack wait write write_file xpcall
arg: 0
bit: arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex
coroutine: create isyieldable resume running status wrap yield
debug: getinfo getmetatable traceback
docs: list read search
io: lines open read stderr stdin stdout write
jit: arch os version version_num
json: array decode encode null object
math: abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi pow rad \
random randomseed sin sinh sqrt tan tanh
os: clock date difftime exit getenv time
package: config cpath loaded path preload
regex: gsub match match_all
stdin: close lines read
string: byte char find format gmatch gsub len lower match rep reverse sub upper
table: concat insert maxn move pack remove sort unpack
""")
HELPERS = ("run", "create", "wait", "stream", "each", "download", "cancel_all")  # fields of the provider's table

# Lua 5.1 to 5.4 and LuaJIT.
STANDARD = _names("""
_G _VERSION _ENV arg assert collectgarbage dofile error gcinfo getfenv getmetatable ipairs load loadfile loadstring
module newproxy next pairs pcall print rawequal rawget rawlen rawset require select setfenv setmetatable tonumber
tostring type unpack warn xpcall ffi jit
bit: arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex
bit32: arshift band bnot bor btest bxor extract lrotate lshift replace rrotate rshift
coroutine: close create isyieldable resume running status wrap yield
debug: debug gethook getinfo getlocal getmetatable getregistry getupvalue getuservalue getfenv setfenv sethook \
setlocal setmetatable setupvalue setuservalue traceback upvalueid upvaluejoin
io: close flush input lines open output popen read stderr stdin stdout tmpfile type write
math: abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max maxinteger min \
mininteger modf pi pow rad random randomseed sin sinh sqrt tan tanh tointeger type ult mod
os: clock date difftime execute exit getenv remove rename setlocale time tmpname
package: config cpath loaded loaders loadlib path preload searchers searchpath seeall
string: byte char dump find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper gfind
table: concat foreach foreachi getn insert maxn move pack remove setn sort unpack clear new
utf8: char charpattern codepoint codes len offset
""")

FOREIGN = {
    "null": "nil, or json.null within a list",
    "None": "nil",
    "none": "nil",
    "undefined": "nil",
    "NULL": "nil",
    "True": "true",
    "TRUE": "true",
    "False": "false",
    "FALSE": "false",
}  # what other languages call Lua's constants


_SHORT, _MIN_BEGINNING = 3, 4  # letters


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar name: at most one letter in four differs, or ``name`` is its first part."""
    if len(name) < _SHORT:
        return None
    found, least = None, max(1, len(name) // 4)
    others = sorted(other for other in {*names} - {name} if other[:1] != "_" or name[0] == "_")
    for other in others:
        if abs(len(other) - len(name)) <= least and len(other) > 1:
            far = _distance(name, other, least)
            far += far > 1 and name[0].lower() != other[0].lower()  # the first letter is rarely mistyped
            if far < least or (far == least and found is None):
                found, least = other, far
    return found or next((one for one in others if len(name) >= _MIN_BEGINNING and one.startswith(f"{name}_")), None)


# String methods of other languages, and the equivalent in Lua.
BORROWED = {
    "split": 'for part in text:gmatch("[^,]+") do',
    "trim": 'text:match("^%s*(.-)%s*$")',
    "strip": 'text:match("^%s*(.-)%s*$")',
    "startswith": "text:sub(1, #start) == start",
    "startsWith": "text:sub(1, #start) == start",
    "starts_with": "text:sub(1, #start) == start",
    "endswith": "text:sub(-#tail) == tail",
    "endsWith": "text:sub(-#tail) == tail",
    "ends_with": "text:sub(-#tail) == tail",
    "replace": "text:gsub(pattern, replacement)",
    "contains": "text:find(word, 1, true)",
    "includes": "text:find(word, 1, true)",
    "toUpperCase": "text:upper()",
    "toLowerCase": "text:lower()",
}

# Globals of test runners and of programs that embed Lua.
HOSTS = frozenset(
    _names("""
after_each before_each describe expose finally insulate it lazy_setup lazy_teardown mock pending randomize setup spy
strict_setup strict_teardown stub teardown test love ngx vim redis KEYS ARGV pandoc minetest wezterm hs awesome
""")
)


def _distance(one: str, other: str, bound: int) -> int:
    """The edit distance in letters, counting a swap of neighbors as one, ignoring case; at most ``bound`` + 1."""
    one, other = one.lower(), other.lower()
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], before[j - 2] + 1)
        if min(row) > bound:
            return bound + 1
        before, last = last, row
    return last[-1]
