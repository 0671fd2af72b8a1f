local T = {}

local function refuses(f, expected)
  local ok, message = pcall(f)
  assert(not ok, "nothing was refused")
  assert(message:find(expected, 1, true), ("expected %q in %q"):format(expected, message))
end

T["encodes names in order, so that equal values give equal text"] = function(use)
  local json = use("json")
  assert(json.encode({ b = 1, a = { true, false }, c = "x" }) == '{"a":[true,false],"b":1,"c":"x"}')
end

T["distinguishes empty lists and empty objects"] = function(use)
  local json = use("json")
  assert(json.encode({ list = json.array({}), object = {} }) == '{"list":[],"object":{}}')
  assert(json.encode(json.decode('{"list":[],"object":{}}')) == '{"list":[],"object":{}}')
end

T["reads a null field as absent and a null item as json.null"] = function(use)
  local json = use("json")
  local value = json.decode('{"gone":null,"list":[1,null,3]}')
  assert(value.gone == nil)
  assert(#value.list == 3 and value.list[2] == json.null)
  assert(json.encode(value) == '{"list":[1,null,3]}')
end

T["reads integers that a double cannot represent as strings of digits"] = function(use)
  local json = use("json")
  assert(json.decode("9007199254740993") == "9007199254740993")
  assert(json.decode("9007199254740992") == 9007199254740992)
  assert(json.decode("-9007199254740993") == "-9007199254740993")
  assert(json.encode(9007199254740992) == "9007199254740992")
end

T["writes numbers that read back as themselves"] = function(use)
  local json = use("json")
  for _, number in ipairs({ 0.1, 1 / 3, 1e300, -2.5e-10, 123456789.125, 5e-324 }) do
    assert(json.decode(json.encode(number)) == number)
  end
end

T["escapes and unescapes control characters, quotes and pairs of surrogates"] = function(use)
  local json = use("json")
  local text = "\0\1\n\"\\/\127é😀"
  assert(json.decode(json.encode(text)) == text)
  assert(json.decode('"\\u00e9\\ud83d\\ude00\\/"') == "é😀/")
  refuses(function() json.decode('"\\ud83d"') end, "surrogate pair")
end

T["indents on request"] = function(use)
  local json = use("json")
  assert(json.encode({ a = { 1 }, b = {} }, { indent = 2 }) == '{\n  "a": [\n    1\n  ],\n  "b": {}\n}')
end

T["names the place of a mistake in a text"] = function(use)
  local json = use("json")
  refuses(function() json.decode("[1,\n  2,}") end, 'expected a value, got "}" - at line 2, column 5')
  refuses(function() json.decode("[1") end, "got the end of the text")
  refuses(function() json.decode("[1] x") end, "expected the end of the text")
  refuses(function() json.decode("01") end, "expected a value")
  refuses(function() json.decode('{"a" 1}') end, "expected `:`")
  refuses(function() json.decode('"\n"') end, "an escaped control character")
  refuses(function() json.decode(("["):rep(300)) end, "at most 200 levels")
end

T["refuses values without a JSON form, with their path"] = function(use)
  local json = use("json")
  refuses(function() json.encode({ a = { b = print } }) end, "a function has no JSON form - at `a.b`")
  refuses(function() json.encode({ a = { 1, x = 2 } }) end, "table mixes list and named keys - at `a`")
  refuses(function() json.encode({ a = { [1] = 1, [3] = 3 } }) end, "list has holes - at `a`")
  refuses(function() json.encode({ ["odd key"] = 0 / 0 }) end, "number is")
  refuses(function() json.encode({ [true] = 1 }) end, "table has a boolean as key")
  refuses(function() json.encode("\255") end, "string is not UTF-8")
  local loop = {}
  loop[1] = loop
  refuses(function() json.encode(loop) end, "table contains itself - at `[1]`")
end

T["accepts number keys as names in a table that is marked as an object"] = function(use)
  local json = use("json")
  assert(json.encode(json.object({ "a", "b" })) == '{"1":"a","2":"b"}')
  refuses(function() json.array(1) end, "json.array: expected a table, got number")
end

T["writes number keys exactly, and refuses duplicates"] = function(use)
  local json = use("json")
  local names = json.object({ [1732968000123456] = "x", [0.1 + 0.2] = "y", [-5] = "z", [0.5] = "h" })
  assert(json.encode(names) == '{"-5":"z","0.30000000000000004":"y","0.5":"h","1732968000123456":"x"}')
  refuses(function() json.encode(json.object({ [7] = 1, ["7"] = 2 })) end, "a number key and a string key give the same JSON name")
end

T["reads numbers with any exponent"] = function(use)
  local json = use("json")
  for text, value in pairs({ ["1e400"] = 1 / 0, ["1e1048576"] = 1 / 0, ["-1E99999999999"] = -1 / 0, ["1e-99999999"] = 0,
    ["0e99999999"] = 0, ["0.0e1048577"] = 0, ["12.5e0000001"] = 125 }) do
    assert(json.decode(text) == value, text)
  end
end

T["distinguishes valid UTF-8 from similar bytes"] = function(use)
  local values = use("values")
  for _, good in ipairs({ "", "a", "é", "€", "😀", "\239\191\191", "\244\143\191\191" }) do
    assert(values.is_utf8(good), good)
  end
  for _, bad in ipairs({ "\128", "\194", "\192\128", "\224\128\128", "\237\160\128", "\240\128\128\128",
    "\244\144\128\128", "\194\194\128\128", "a\255" }) do
    assert(not values.is_utf8(bad))
  end
end

return T
