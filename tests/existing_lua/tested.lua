-- As much of the test runner "tested" as ftcsv's tests use, on the shim of busted.

require("busted")

local M = {}

function M.test(name, f) describe("tested", function() it(name, f) end) end

function M.assert(case) assert.same(case.expected, case.actual) end

function M.assert_throws_exception(case) assert.has_error(case.actual, case.expected) end

package.preload.cjson = function() return { decode = json.decode, encode = json.encode } end
package.loaded.tested = M
return M
