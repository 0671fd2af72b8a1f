rawset(json.null, 'x', 1)
error(json.encode({ json.null }))
