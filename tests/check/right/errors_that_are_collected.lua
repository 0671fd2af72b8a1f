-- Errors that are collected.
parallel({ 1 }, function() return nowhere() end, { on_error = "collect" })
