-- Parse a regular expression into a tree. A node has its `kind` and the `size` of its program. An empty node counts as
-- one; otherwise nested `(?:){1000}` could take forever without producing an instruction.

local use = ...
local values = use("values")

local M = {}

local byte, sub, find, format, gmatch, gsub, lower = string.byte, string.sub, string.find, string.format,
  string.gmatch, string.gsub, string.lower
local match = string.match
local sort, min, max, huge, ipairs, tonumber = table.sort, math.min, math.max, math.huge, ipairs, tonumber
local utf8_code = values.utf8_code

local MAX_CODE = 0x10ffff
local MAX_REPEAT = 1000 -- the limit of RE2
local MAX_SIZE = 20000 -- instructions of a program; each character of the text takes at most as many steps
local MAX_GROUPS = 100 -- each thread stores the positions of all groups
local MAX_DEPTH = values.MAX_DEPTH

-- Sets of characters -------------------------------------------------------------------------------------------
-- A list of ranges, {first, last, first, last, …}.

local PERL = { d = { 48, 57 }, s = { 9, 13, 32, 32 }, w = { 48, 57, 65, 90, 95, 95, 97, 122 } }
local POSIX = {
  alnum = { 48, 57, 65, 90, 97, 122 }, alpha = { 65, 90, 97, 122 }, ascii = { 0, 127 }, blank = { 9, 9, 32, 32 },
  cntrl = { 0, 31, 127, 127 }, digit = PERL.d, graph = { 33, 126 }, lower = { 97, 122 }, print = { 32, 126 },
  punct = { 33, 47, 58, 64, 91, 96, 123, 126 }, space = PERL.s, upper = { 65, 90 }, word = PERL.w,
  xdigit = { 48, 57, 65, 70, 97, 102 },
}

-- The same set, sorted and without overlap.
local function normal(ranges)
  local order, merged, count = {}, {}, 0
  for i = 1, #ranges, 2 do
    order[(i + 1) / 2] = i
  end
  sort(order, function(a, b) return ranges[a] < ranges[b] end)
  for _, i in ipairs(order) do
    local from, to = ranges[i], ranges[i + 1]
    if count > 0 and from <= merged[count] + 1 then
      merged[count] = max(merged[count], to)
    else
      merged[count + 1], merged[count + 2] = from, to
      count = count + 2
    end
  end
  return merged
end

local function complement(ranges)
  local rest, from = {}, 0
  ranges = normal(ranges)
  for i = 1, #ranges, 2 do
    if ranges[i] > from then rest[#rest + 1], rest[#rest + 2] = from, ranges[i] - 1 end
    from = ranges[i + 1] + 1
  end
  if from <= MAX_CODE then rest[#rest + 1], rest[#rest + 2] = from, MAX_CODE end
  return rest
end

local function include(ranges, more)
  for i = 1, #more do
    ranges[#ranges + 1] = more[i]
  end
end

-- Add the part between `from` and `to` again, shifted: lower-case letters as capitals, or the reverse.
local function fold(ranges, from, to, distance)
  for i = 1, #ranges, 2 do
    local first, last = max(ranges[i], from), min(ranges[i + 1], to)
    if first <= last then include(ranges, { first + distance, last + distance }) end
  end
end

-- Reading ------------------------------------------------------------------------------------------------------

local refuse -- raises a reason
local pattern, at, in_bytes -- what is being parsed, and the position
local flags, groups, names

local function fail(reason, position)
  local before = sub(pattern, 1, (position or at) - 1)
  local _, continuing = gsub(before, "[\128-\191]", "")
  local place = #before - (in_bytes and 0 or continuing) + 1
  refuse(format("%s - at character %d of the pattern", reason, place))
end

local function sized(node, size, position)
  if size > MAX_SIZE then fail(format("the pattern is too large: more than %d instructions", MAX_SIZE), position) end
  node.size = size
  return node
end

local function take(text)
  if sub(pattern, at, at + #text - 1) ~= text then return false end
  at = at + #text
  return true
end

local function take_match(form)
  local from, to, a, b, c = find(pattern, form, at)
  if from then at = to + 1 end
  return a, b, c
end

local function next_code()
  if in_bytes then
    at = at + 1
    return byte(pattern, at - 1)
  end
  local code
  code, at = utf8_code(pattern, at)
  return code
end

local function set_node(ranges, negated)
  if flags.i then
    fold(ranges, 97, 122, -32)
    fold(ranges, 65, 90, 32)
  end
  return { kind = "set", size = 1, ranges = negated and complement(ranges) or normal(ranges) }
end

local CONTROL = { a = 7, f = 12, n = 10, r = 13, t = 9, v = 11 }

local BACK_REFERENCE = "back-references are not supported: they can take exponential time"

local NO_ESCAPE = {
  { "^[1-9kg]", BACK_REFERENCE },
  { "^C", "`\\C` is not supported: `(?s:.)` is any character" },
  { "^[pP]", "Unicode properties are not supported: name the characters, as in `[a-zé]`" },
  { "^Z", "`\\Z` is not supported: `\\z` is the end of the text" },
}

-- The item after a backslash: a set of ranges, or a character.
local function escape()
  local start = at
  at = at + 1
  local letter = sub(pattern, at, at)
  if letter == "" then fail("expected a character after the backslash, got the end of the pattern", start) end
  if PERL[letter] then
    at = at + 1
    return PERL[letter]
  elseif find(letter, "[DSW]") then
    at = at + 1
    return complement(PERL[lower(letter)])
  elseif CONTROL[letter] then
    at = at + 1
    return nil, CONTROL[letter]
  elseif letter == "x" then
    local digits = take_match("^x{(%x+)}") or take_match("^x(%x%x)")
    if not digits then fail("expected two hexadecimal digits, or `{…}` of more, after `\\x`", start) end
    local code = tonumber(digits, 16)
    if #digits > 8 or code > MAX_CODE then fail("expected a character up to 10FFFF after `\\x`", start) end
    return nil, code
  elseif find(pattern, "^[0-7]", at) and (letter == "0" or find(pattern, "^[0-7]", at + 1)) then
    return nil, tonumber(take_match("^([0-7][0-7]?[0-7]?)"), 8)
  elseif find(letter, "[^%w\128-\255]") then
    at = at + 1
    return nil, byte(letter)
  end
  for _, entry in ipairs(NO_ESCAPE) do
    if find(pattern, entry[1], at) then fail(entry[2], start) end
  end
  next_code()
  fail(format("unknown escape `%s`", values.scrub(sub(pattern, start, at - 1))), start)
end

-- One item of a class: a set of ranges, or a character.
local function class_item()
  local start = at
  local negated, name = take_match("^%[:(%^?)(%w+):%]")
  if name then
    if not POSIX[name] then fail(format("unknown class `[:%s:]`", name), start) end
    return negated == "" and POSIX[name] or complement(POSIX[name])
  end
  if byte(pattern, at) == 92 then return escape() end
  return nil, next_code()
end

local function class()
  local start, ranges = at, {}
  at = at + 1
  local negated, is_first = take("^"), true
  while is_first or not take("]") do
    if at > #pattern then fail("expected `]` for this `[`, got the end of the pattern", start) end
    local from = at
    local set, first = class_item()
    local last = first
    if not set and find(pattern, "^%-[^%]]", at) then -- after a set a hyphen is itself
      at = at + 1
      local set_behind
      set_behind, last = class_item()
      if set_behind then fail("a range needs a character on each side", from) end
      if last < first then fail("the range is out of order", from) end
    end
    include(ranges, set or { first, last })
    is_first = false
  end
  return set_node(ranges, negated)
end

local alternation

local NO_GROUP = {
  { "^%?<?[=!]", "lookaround is not supported" },
  { "^%?>", "atomic groups are not supported and not needed, because nothing is tried twice" },
  { "^%?P=", BACK_REFERENCE },
}

local function set_flags(on, off)
  local changed = { i = flags.i, m = flags.m, s = flags.s, U = flags.U }
  for letter in gmatch(on, ".") do
    changed[letter] = true
  end
  for letter in gmatch(off, ".") do
    changed[letter] = false
  end
  flags = changed
end

local function capture(name, start)
  groups = groups + 1
  if groups > MAX_GROUPS then
    fail(format("more than %d groups; `(?:…)` groups without capturing", MAX_GROUPS), start)
  end
  if name then
    if names[name] then fail(format("duplicate group name `%s`", name), start) end
    names[name] = groups
  end
  return { kind = "group", index = groups }
end

-- Read the text after `(?`, set its flags, and return whether it opens a group, and the node of a capturing group.
local function extension(start)
  local name = take_match("^P?<([%a_][%w_]*)>")
  if name then return true, capture(name, start) end
  local on, off = take_match("^([imsU]*)"), take_match("^%-([imsU]+)") or ""
  local stop = take_match("^([:)])")
  if not stop or on .. off .. stop == ")" then
    fail("expected `(?:`, `(?<name>` or flags, as in `(?i)`, for this `(?`", start)
  end
  set_flags(on, off)
  return stop == ":"
end

local function group(depth)
  local start, outer = at, flags
  if depth == MAX_DEPTH then fail(format("groups are nested more than %d levels", MAX_DEPTH)) end
  at = at + 1
  for _, entry in ipairs(NO_GROUP) do
    if find(pattern, entry[1], at) then fail(entry[2], start) end
  end
  local opens, node = true, nil
  if take("?") then
    opens, node = extension(start)
  else
    node = capture(nil, start)
  end
  if not opens then return { kind = "cat", size = 1, only_flags = true } end -- flags for the rest of the enclosing group
  local inner = alternation(depth + 1)
  if not take(")") then fail("expected `)` for this `(`, got the end of the pattern", start) end
  flags = outer
  if not node then return inner end
  node[1] = inner
  return sized(node, inner.size + 2)
end

-- Counts in braces, as in `{2}` and `{2,3}`. One form with `,?` would take quadratic time for many digits.
local function braces() return match(pattern, "^{%d+}", at) or match(pattern, "^{%d+,%d*}", at) end

local ASSERTIONS = { A = "text start", z = "text end", b = "word edge", B = "no word edge" }

local function atom(depth)
  local c = sub(pattern, at, at)
  if c == "(" then return group(depth) end
  if c == "[" then return class() end
  local repetition = find(c, "[*+?]") and c or braces()
  if repetition then fail(format("nothing to repeat before `%s`", repetition)) end
  if c == "." or c == "^" or c == "$" then
    at = at + 1
    if c == "." then return set_node(flags.s and {} or { 10, 10 }, true) end
    return { kind = "assert", size = 1, (flags.m and "line " or "text ") .. (c == "^" and "start" or "end") }
  elseif c == "\\" then
    local assertion = ASSERTIONS[sub(pattern, at + 1, at + 1)]
    if assertion then
      at = at + 2
      return { kind = "assert", size = 1, assertion }
    end
    local set, code = escape()
    local ranges = {}
    include(ranges, set or { code, code })
    return set_node(ranges)
  end
  local code = next_code()
  return set_node({ code, code })
end

-- The repetition of the preceding item: minimum and maximum, or nil.
local function counts()
  if take("*") then return 0, huge end
  if take("+") then return 1, huge end
  if take("?") then return 0, 1 end
  if not find(pattern, "^{,?%d", at) then return nil end -- a literal brace
  local exactly = tonumber(take_match("^{(%d+)}") or nil)
  if exactly then return exactly, exactly end
  local least, most = take_match("^{(%d*),(%d*)}")
  if least then return tonumber(least), tonumber(most) or huge end
end

local function repeated(node)
  local start = at
  local least, most = counts()
  if not most then return node end
  if node.kind == "assert" or node.only_flags then fail("nothing to repeat before this", start) end
  if not least then fail("expected a number before the comma, as in `{0,3}`", start) end
  if least > MAX_REPEAT or (most > MAX_REPEAT and most < huge) then
    fail(format("repeats more than %d times", MAX_REPEAT), start)
  end
  if most < least then fail("the maximum is below the minimum", start) end
  local lazy = take("?")
  if flags.U then lazy = not lazy end
  if take("+") then
    fail("possessive repetition is not supported and not needed, because nothing is tried twice", start)
  end
  if find(pattern, "^[*+?]", at) or braces() then
    fail("repeated repetition; put `(?:…)` around the first")
  end
  local times = most < huge and max(most, 1) or least + 1
  return sized({ kind = "loop", node, least = least, most = most, lazy = lazy }, times * (node.size + 1),
    start)
end

-- The next item, in text between `\Q` and `\E` or outside, and whether such text continues. A repetition after it
-- applies to its last character.
local function next_item(depth, is_quoted)
  if not is_quoted then return repeated(atom(depth)), false end
  local code = next_code()
  local item = set_node({ code, code })
  if take("\\E") then return repeated(item), false end
  return item, true
end

local function sequence(depth)
  local items, size, is_quoted, item = { kind = "cat" }, 1, false, nil
  while at <= #pattern and (is_quoted or not find(pattern, "^[|)]", at)) do
    if not is_quoted and take("\\Q") then
      is_quoted = not take("\\E")
    else
      item, is_quoted = next_item(depth, is_quoted)
      items[#items + 1] = item
      size = sized(items, size + item.size).size
    end
  end
  return sized(items, size)
end

function alternation(depth)
  local branches = { kind = "alt", sequence(depth) }
  local size = branches[1].size
  while take("|") do
    local branch = sequence(depth)
    branches[#branches + 1] = branch
    size = size + branch.size + 2
  end
  return #branches == 1 and branches[1] or sized(branches, size)
end

--- The tree of a pattern, the number of capturing groups, and the numbers of named groups. `letters` are the initial
--- flags; `raise(reason)` raises an error in the pattern.
function M.parse(source, letters, bytes, raise)
  pattern, at, in_bytes, refuse = source, 1, bytes, raise
  flags, groups, names = {}, 0, {}
  set_flags(letters, "")
  local tree = alternation(0)
  if at <= #pattern then fail("no `(` matches this `)`") end
  return tree, groups, names
end

return M
