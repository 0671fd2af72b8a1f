return debug.getmetatable(''), debug.getmetatable(json.null), pcall(debug.getmetatable)
