-- The port of a state that has its process to itself: frames over two file descriptors. A frame is four bytes of
-- length, big end first, then MessagePack.
-- Spoken through the FFI and not through Python, so that memory that runs out here is a Lua error like any other;
-- inside a Python callback it would never come back.

local ffi = require("ffi")

ffi.cdef([[
  ptrdiff_t read(int descriptor, void *to, size_t count);
  ptrdiff_t write(int descriptor, const void *from, size_t count);
]])

local C, floor, char = ffi.C, math.floor, string.char
local EINTR, CAPACITY = 4, 65536

local M = {}

-- Fills `to` with exactly `count` bytes, or ends the process: without a host there is nothing to live for.
local function read_exactly(descriptor, to, count)
  while count > 0 do
    local got = tonumber(C.read(descriptor, to, count))
    if got > 0 then
      to, count = to + got, count - got
    elseif got == 0 or ffi.errno() ~= EINTR then
      os.exit(0)
    end
  end
end

local function write_all(descriptor, text)
  local from, count = ffi.cast("const char *", text), #text
  while count > 0 do
    local put = tonumber(C.write(descriptor, from, count))
    if put >= 0 then
      from, count = from + put, count - put
    elseif ffi.errno() ~= EINTR then
      os.exit(0)
    end
  end
end

local function length_of(count)
  return char(floor(count / 16777216), floor(count / 65536) % 256, floor(count / 256) % 256, count % 256)
end

--- The port over two descriptors: `submit(frame)` sends, `wait()` blocks until a frame has come.
function M.open(input, output)
  local buffer = ffi.new("uint8_t[?]", CAPACITY)
  local port = {}

  function port.submit(frame) write_all(output, length_of(#frame) .. frame) end

  function port.wait()
    read_exactly(input, buffer, 4)
    local count = ((buffer[0] * 256 + buffer[1]) * 256 + buffer[2]) * 256 + buffer[3]
    local to = count > CAPACITY and ffi.new("uint8_t[?]", count) or buffer
    read_exactly(input, to, count)
    return ffi.string(to, count)
  end

  return port
end

return M
