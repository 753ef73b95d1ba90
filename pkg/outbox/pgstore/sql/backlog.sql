select count(*), coalesce(extract(epoch from clock_timestamp() - min(p.created_at)), 0)::float8
from (
    select e.created_at
    from outbox.events e
    where e.sent_at is null and e.id > $1::bigint
    order by e.id
    limit $2::integer
) as p
