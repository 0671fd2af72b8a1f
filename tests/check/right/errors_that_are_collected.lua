-- Errors in a task are collected and do not end the script.
parallel({ 1 }, function() return nowhere() end, { on_error = "collect" })
