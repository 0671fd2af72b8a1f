-- What is logged of a call is not what was in it.
local _, e = pcall(integrations.replicate.create_prediction, { version = 'v', input = { text = 'an input' } })
error('called')
