setmetatable(integrations.replicate, {})
