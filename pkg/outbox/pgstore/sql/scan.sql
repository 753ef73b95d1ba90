select r.id,
       case when r.mine then r.created_at end,
       case when r.mine then r.event_id end,
       case when r.mine then r.replays end,
       case when r.mine then r.shard end,
       case when r.mine then r.aggregate_type end,
       case when r.mine then r.aggregate_id end,
       case when r.mine then r.event_type end,
       case when r.mine then r.destination end,
       case when r.mine then r.payload end,
       case when r.mine then r.headers end
from (
    select e.*,
           e.sent_at is null
           and e.shard = any ($3::smallint[])
           and not exists (
               select from outbox.blocked b
               where b.destination = e.destination
                 and b.aggregate_type = e.aggregate_type
                 and b.aggregate_id = e.aggregate_id
           ) as mine
    from outbox.events e
    where e.id > $1::bigint and e.id <= $2::bigint
    order by e.id
    limit $4::integer
) as r
order by r.id
