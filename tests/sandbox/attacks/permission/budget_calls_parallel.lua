-- flags: --max-calls 3
local done = parallel({ 1, 2, 3, 4, 5, 6, 7, 8 }, function() integrations.replicate.get_account{} end, { on_error = 'collect' })
error('the run went on')
