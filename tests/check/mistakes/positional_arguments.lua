local prediction = replicate.get_prediction(args[1], "latest")
local other = replicate.get_prediction("gm3qorzdhgbfurvjtvhg6dckhu")
print(prediction.status, other.status)
