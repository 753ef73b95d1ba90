-- $1 to $7 are the columns of the events, $8 and $9 the aggregates to lock, as
-- text[]: every driver and every protocol mode can send those.
--
-- The ids are drawn after the locks are taken: a join gives its first row only
-- after the materialized locks were counted, and the default of id is
-- evaluated above the sort. The locks are taken in the order of the arrays.
with locked as materialized (
    select count(*) as aggregates
    from unnest($8::text[], $9::text[]) with ordinality as a (aggregate_type, aggregate_id, position)
    cross join lateral outbox.lock_aggregate(a.aggregate_type, a.aggregate_id)
)
insert into outbox.events (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
select e.event_id::uuid, e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload::json,
       nullif(e.headers, '')::json
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
     with ordinality as e (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers, position)
cross join locked
order by e.position
