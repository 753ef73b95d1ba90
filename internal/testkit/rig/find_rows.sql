select id, event_id from outbox.events where event_id = any($1);
