-- The log of a call does not contain its inputs.
local _, e = pcall(integrations.replicate.create_prediction, { version = 'v', input = { text = 'an input' } })
error('called')
