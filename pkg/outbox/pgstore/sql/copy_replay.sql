select c.outcome, c.count, coalesce(c.event_id::text, ''), coalesce(c.aggregate_type, ''), coalesce(c.aggregate_id, '')
from outbox.copy_replay($1::uuid, $2::integer) as c
