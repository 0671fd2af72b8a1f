-- Keys of arguments and inputs are expressions.
replicate.get_prediction { ["prediction" .. "_id"] = "x" } run("a/b", { [args[1]] = 2 })
