-- The first $1 blocked lanes that pass the filters, as a JSON array. waiting is how many
-- events of the lane are among the first $2 unsent events of the outbox.
with pending as materialized (
    select e.destination, e.aggregate_type, e.aggregate_id
    from outbox.events e
    where e.sent_at is null
    order by e.id
    limit $2::integer
)
select coalesce(json_agg(json_strip_nulls(json_build_object(
    'first_id', x.first_id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
    'aggregate_id', x.aggregate_id, 'blocked_at', x.blocked_at, 'released_at', x.released_at, 'reason', x.reason,
    'dead_letter', x.dead_letter, 'waiting', x.waiting)) order by x.first_id), '[]')::text
from (
    select b.first_id, b.event_id, b.destination, b.aggregate_type, b.aggregate_id, b.blocked_at, b.released_at, b.reason,
           exists (
               select from outbox.dead_letters d
               where d.event_id = b.event_id
                 and (d.destination, d.aggregate_type, d.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as dead_letter,
           (select count(*) from pending p
            where (p.destination, p.aggregate_type, p.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as waiting
    from outbox.blocked b
    where ($3::text is null or b.destination = $3::text)
      and ($4::text is null or b.aggregate_type = $4::text)
      and ($5::text is null or b.aggregate_id = $5::text)
    order by b.first_id
    limit $1::integer
) as x
