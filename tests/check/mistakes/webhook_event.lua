local prediction = replicate.create_prediction {
  version = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
  input = { text = "Ada" },
  webhook = "https://example.com/hook",
  webhook_events_filter = { "complete" },
}
print(prediction.id)
