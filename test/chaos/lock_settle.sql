select e.id from outbox.events e where e.sent_at is null for update
