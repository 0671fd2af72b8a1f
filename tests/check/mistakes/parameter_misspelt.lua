local prediction = replicate.get_prediction { id = args[1] }
print(prediction.status)
