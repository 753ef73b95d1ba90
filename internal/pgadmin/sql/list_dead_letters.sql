-- The first $2 dead letters with ids above $1 that pass the filters $4 to $12, as a JSON array;
-- with payload and headers where $3 is true. json_strip_nulls is not for these: it refuses
-- headers with \u0000.
select coalesce(json_agg(json_build_object(
    'id', x.id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
    'aggregate_id', x.aggregate_id, 'event_type', x.event_type, 'replays', x.replays, 'created_at', x.created_at,
    'dead_at', x.dead_at, 'attempts', x.attempts, 'code', x.code, 'reason', x.reason, 'blocks', x.blocks,
    'payload', x.payload::text, 'headers', x.headers) order by x.id), '[]')::text
from (
    select d.id, d.event_id, d.destination, d.aggregate_type, d.aggregate_id, d.event_type, d.replays, d.created_at,
           d.dead_at, d.attempts, d.code, d.reason,
           case when $3::boolean then d.payload end as payload,
           case when $3::boolean then d.headers end as headers,
           exists (
               select from outbox.blocked b
               where (b.destination, b.aggregate_type, b.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id)
                 and b.event_id = d.event_id) as blocks
    from outbox.dead_letters d
    where d.id > $1::bigint
      and ($4::text[] is null or d.event_id = any ($4::text[]::uuid[]))
      and ($5::text is null or d.destination = $5::text)
      and ($6::text is null or d.aggregate_type = $6::text)
      and ($7::text is null or d.aggregate_id = $7::text)
      and ($8::text is null or d.event_type = $8::text)
      and ($9::timestamptz is null or d.created_at >= $9::timestamptz)
      and ($10::timestamptz is null or d.created_at < $10::timestamptz)
      and ($11::bigint is null or d.id >= $11::bigint)
      and ($12::bigint is null or d.id <= $12::bigint)
    order by d.id
    limit $2::integer
) as x
