-- $1 to $7 are the columns of the events, $8 and $9 the aggregates to lock, as
-- text[]: every driver and every protocol mode can send those. Names have their
-- schema, so that they mean the same whatever the search_path of the session is;
-- unnest with several arguments always is that of pg_catalog.
--
-- The ids are drawn after the locks are taken: a join gives its first row only
-- after the materialized locks were counted, and the default of id is
-- evaluated above the sort. The locks are taken in the order of the arrays.
--
-- The condition is evaluated once. What a driver sends as UTF-8 is read as such
-- under these two settings only.
with locked as materialized (
    select pg_catalog.count(*) as aggregates
    from unnest($8::pg_catalog.text[], $9::pg_catalog.text[]) with ordinality as a (aggregate_type, aggregate_id, position)
    cross join lateral outbox.lock_aggregate(a.aggregate_type, a.aggregate_id)
)
insert into outbox.events (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
select e.event_id::pg_catalog.uuid, e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload::pg_catalog.json,
       case when e.headers operator(pg_catalog.<>) '' then e.headers::pg_catalog.json end
from unnest(
         $1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[], $4::pg_catalog.text[],
         $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.text[])
     with ordinality as e (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers, position)
cross join locked
where pg_catalog.current_setting('client_encoding') operator(pg_catalog.=) any ('{UTF8, SQL_ASCII}'::pg_catalog.text[])
   or outbox.refuse_encoding()
order by e.position
