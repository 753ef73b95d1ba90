select count(*) from outbox.events where sent_at is null;
