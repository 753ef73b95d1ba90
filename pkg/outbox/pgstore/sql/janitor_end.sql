select outbox.end_janitor()
