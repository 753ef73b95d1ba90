-- The order is settled inside, by the index of the unsent rows, so that the
-- limit stops the scan whatever the statistics say about the filters.
select e.id, e.created_at, e.event_id, e.replays, e.shard,
       e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload, e.headers
from (
    select * from outbox.events x
    where x.sent_at is null and x.id between $1::bigint and $2::bigint
    order by x.id
    offset 0
) as e
where e.shard = any ($3::smallint[])
  and e.destination = $5::text
  and (
      select count(*) from outbox.blocked b
      where b.destination = e.destination
        and b.aggregate_type = e.aggregate_type
        and b.aggregate_id = e.aggregate_id
  ) = 0
order by e.id
limit $4::integer
