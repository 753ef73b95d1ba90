select r.relay_id from outbox.relays r for update
