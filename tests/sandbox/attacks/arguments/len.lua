return integrations.replicate.create_prediction{
  version = 'v', input = { list = setmetatable({ 1, nil, 3 }, { __len = function() return 1e9 end }) },
}
