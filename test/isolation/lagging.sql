select count(*) from outbox.events where sent_at is null and created_at < clock_timestamp() - interval '500 milliseconds'
