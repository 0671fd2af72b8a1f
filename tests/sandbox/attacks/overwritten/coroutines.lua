for name in pairs(coroutine) do coroutine[name] = function() error('mine') end end
error(spawn(function() return integrations.replicate.get_account{}.type end):await())
