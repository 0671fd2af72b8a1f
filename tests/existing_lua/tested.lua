-- The part of the test runner "tested" that ftcsv's tests use, based on the busted shim.

require("busted")

local M = {}

function M.test(name, f) describe("tested", function() it(name, f) end) end

function M.assert(case) assert.same(case.expected, case.actual) end

function M.assert_throws_exception(case) assert.has_error(case.actual, case.expected) end

package.preload.cjson = function() return { decode = json.decode, encode = json.encode } end
package.loaded.tested = M
return M
