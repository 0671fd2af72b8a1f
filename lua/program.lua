-- Compile the tree of a pattern into a program for the machine in regex.lua.
-- Instructions are in three parallel lists. Slot 1 of a thread is where its match starts; group n has the slots
-- 2n and 2n + 1.

local use = ...
local values, parse = use("values"), use("pattern").parse

local M = {}

local byte, char, find, concat, min, huge = string.byte, string.char, string.find, table.concat, math.min, math.huge
local utf8_char = values.utf8_char

local CHAR, SET, SPLIT, JUMP, SAVE, ASSERT, MATCH = 1, 2, 3, 4, 5, 6, 7
M.CHAR, M.SET, M.SPLIT, M.JUMP, M.SAVE, M.ASSERT, M.MATCH = CHAR, SET, SPLIT, JUMP, SAVE, ASSERT, MATCH

local op, x, y, size -- the program being compiled

local function emit(operation, first, second)
  size = size + 1
  op[size], x[size], y[size] = operation, first or 0, second or 0
  return size
end

-- Set the two targets of a SPLIT, in order of preference: the next instruction, and the one after the following part.
local function aim(split, past, lazy)
  x[split], y[split] = lazy and past or split + 1, lazy and split + 1 or past
end

-- A set in the matcher's form: ASCII characters by index, other characters by ranges.
local function lookup(ranges)
  local set = { ranges = ranges }
  for i = 1, #ranges, 2 do
    for code = ranges[i], min(ranges[i + 1], 127) do
      set[code] = true
    end
  end
  return set
end

local write

local writers = {
  set = function(node)
    local ranges = node.ranges
    if #ranges == 2 and ranges[1] == ranges[2] then return emit(CHAR, ranges[1]) end
    node.lookup = node.lookup or lookup(ranges)
    emit(SET, node.lookup)
  end,
  cat = function(node)
    for i = 1, #node do
      write(node[i])
    end
  end,
  alt = function(node)
    local jumps = {}
    for i = 1, #node - 1 do
      local split = emit(SPLIT)
      write(node[i])
      jumps[i] = emit(JUMP)
      aim(split, size + 1)
    end
    write(node[#node])
    for i = 1, #jumps do
      x[jumps[i]] = size + 1
    end
  end,
  group = function(node)
    emit(SAVE, 2 * node.index)
    write(node[1])
    emit(SAVE, 2 * node.index + 1)
  end,
  assert = function(node) emit(ASSERT, node[1]) end,
}

-- `x*` is compiled as `(x+)?`. An x that may be empty is then tried once before it is skipped, as in other engines. One
-- difference remains, as in RE2: if x matched the empty string, a backtracking engine ends the loop, while other
-- threads continue here, so `(?:\B|.)*` finds more.
function writers.loop(node)
  local least, most, lazy = node.least, node.most, node.lazy
  local endless, splits = most == huge, {}
  for _ = 1, endless and least - 1 or least do
    write(node[1])
  end
  if endless and least == 0 then splits[1] = emit(SPLIT) end
  if endless then
    local start = size + 1
    write(node[1])
    local split = emit(SPLIT)
    x[split], y[split] = lazy and split + 1 or start, lazy and start or split + 1
  else
    for i = 1, most - least do
      splits[i] = emit(SPLIT)
      write(node[1])
    end
  end
  for i = 1, #splits do
    aim(splits[i], size + 1, lazy)
  end
end

function write(node) writers[node.kind](node) end

-- The bytes that a match can begin with; nil if it can be empty.
local function first_bytes(program)
  local first, seen, stack, depth = {}, {}, { 1 }, 1
  while depth > 0 do
    local pc = stack[depth]
    depth = depth - 1
    local operation = program.op[pc]
    if operation == MATCH then return nil end
    if seen[pc] then operation = nil end
    seen[pc] = true
    if operation == CHAR or operation == SET then
      local ranges = operation == SET and program.x[pc].ranges or { program.x[pc], program.x[pc] }
      for i = 1, #ranges, 2 do
        local from, to = ranges[i], ranges[i + 1]
        if not program.in_bytes then from, to = byte(utf8_char(from)), byte(utf8_char(to)) end
        for lead = from, min(to, 255) do
          first[lead] = program.in_bytes or lead < 0x80 or lead > 0xbf or nil -- continuation bytes begin no character
        end
      end
    elseif operation == SPLIT then
      stack[depth + 1], stack[depth + 2] = program.y[pc], program.x[pc]
      depth = depth + 2
    elseif operation then
      stack[depth + 1] = operation == JUMP and program.x[pc] or pc + 1
      depth = depth + 1
    end
  end
  return first
end

-- A Lua pattern for these bytes. It cannot contain byte 0, but `%c` includes it, and extra bytes are harmless.
local function byte_pattern(first)
  local bytes, count = {}, 0
  for code = 1, 255 do
    if first[code] then
      count = count + 1
      bytes[count] = (code < 128 and code > 32 and find(char(code), "%p") and "%" or "") .. char(code)
    end
  end
  if first[0] then bytes[#bytes + 1] = "%c" end
  if count > 0 and count < 255 then return "[" .. concat(bytes) .. "]" end
end

-- The text that every match begins with, and whether every match begins at the start of the text.
local function beginning(program)
  local codes, pc = {}, 1
  while program.op[pc] == SAVE do
    pc = pc + 1
  end
  local anchored = program.op[pc] == ASSERT and program.x[pc] == "text start"
  while program.op[pc] == CHAR or program.op[pc] == SAVE do
    local code = program.x[pc]
    if program.op[pc] == CHAR then codes[#codes + 1] = (program.in_bytes and code < 256 and char or utf8_char)(code) end
    pc = pc + 1
  end
  return #codes > 0 and concat(codes) or nil, anchored
end

--- The program of a pattern: its instructions, and facts that speed up the matcher. The arguments are those of `parse`.
function M.compile(pattern, letters, in_bytes, raise)
  local tree, groups, names = parse(pattern, letters, in_bytes, raise)
  op, x, y, size = {}, {}, {}, 0
  write(tree)
  emit(MATCH)
  local program = { op = op, x = x, y = y, size = size, groups = groups, names = names, in_bytes = in_bytes,
    width = 2 * groups + 1 }
  program.first = first_bytes(program)
  program.first_pattern = program.first and byte_pattern(program.first)
  program.prefix, program.anchored = beginning(program)
  op, x, y = nil, nil, nil
  return program
end

return M
