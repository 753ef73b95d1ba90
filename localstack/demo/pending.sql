select (select count(*) from outbox.events where sent_at is null),
       (select count(*) from outbox.events where sent_at is not null and destination = 'default'),
       (select count(*) from outbox.events where sent_at is not null and destination = 'audit');
