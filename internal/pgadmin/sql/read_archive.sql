-- The first $3 archived rows with ids from $1 to below $2, each with its digest.
select a.id, a.event_id::pg_catalog.text, a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.created_at, a.sent_at,
       coalesce(a.message_id, ''), coalesce(a.sequence_number, ''), a.replays, coalesce(a.replay_of, 0),
       a.headers::pg_catalog.text, a.payload::pg_catalog.text, outbox.digest(a)
from outbox.archive a
where a.id operator(pg_catalog.>=) $1::bigint and a.id operator(pg_catalog.<) $2::bigint
order by a.id
limit $3::integer
