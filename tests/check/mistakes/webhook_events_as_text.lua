print(run("acme/painter", {}, { webhook_events_filter = "completed" }))
