json.null.field = 1
