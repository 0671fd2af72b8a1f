--@ needs: create_model_prediction, get_model, get_prediction
--@ models: black-forest-labs/*
--@ max_predictions: 2

-- The header limits this script, whatever its operator allows. `--explain` shows it.
-- $ kosmo lua --emulate examples/budget.lua

local function attempt(what, f, ...)
  local ok, failure = pcall(f, ...)
  print(("%-9s %s"):format(what, ok and "done" or failure.code .. ": " .. failure))
end

attempt("first", run, "black-forest-labs/flux-schnell", { prompt = "one" })
attempt("other", run, "meta/meta-llama-3-8b-instruct", { prompt = "another model" })
attempt("account", replicate.get_account)
attempt("second", run, "black-forest-labs/flux-schnell", { prompt = "two" })
run("black-forest-labs/flux-schnell", { prompt = "one too many" }) -- ends the run with status 5

--> first     done
--> other     permission_denied: create_model_prediction: the script's header `--@ models: black-forest-labs/*` does not include meta/meta-llama-3-8b-instruct
--> account   permission_denied: get_account: the script's header `--@ needs: create_model_prediction, get_model, get_prediction` does not include get_account
--> second    done
--> error: the run reached its budget of 2 predictions and trainings
--> hint: the script's author can raise max_predictions in its header; this call was not sent
