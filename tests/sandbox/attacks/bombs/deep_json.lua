return json.decode(('['):rep(1e6))
