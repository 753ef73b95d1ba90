-- The limit is the width of the widest gap: it cuts nothing off and tells the
-- planner that little is to come.
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
from unnest($1::bigint[], $2::bigint[]) as g (first, last)
cross join lateral (
    select e.*,
           e.sent_at is null
           and e.shard = any ($5::smallint[])
           and not exists (
               select from outbox.blocked b
               where b.destination = e.destination
                 and b.aggregate_type = e.aggregate_type
                 and b.aggregate_id = e.aggregate_id
           ) as mine
    from outbox.events e
    where e.id between g.first and g.last
      and e.id between $3::bigint and $4::bigint
    order by e.id
    limit $6::bigint
) as r
order by r.id
