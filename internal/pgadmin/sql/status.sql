-- The state of the outbox as one JSON object. Only the first $1 unsent events are counted.
with pending as materialized (
    select e.destination, e.created_at
    from outbox.events e
    where e.sent_at is null
    order by e.id
    limit $1::integer
), destinations as (
    select p.destination, count(*) as pending, min(p.created_at) as oldest
    from pending p
    group by p.destination
), relays as (
    select r.relay_id, r.name, r.started_at, r.run_until, r.lease_until, r.leaving, r.low,
           (select count(*) from outbox.shards s where s.owner = r.relay_id) as shards
    from outbox.relays r
)
select json_build_object(
    'now', clock_timestamp(),
    'schema_version', (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
    'pending', (select count(*) from pending),
    'destinations', (select coalesce(json_agg(d order by d.destination), '[]') from destinations d),
    'relays', (select coalesce(json_agg(r order by r.started_at desc, r.relay_id desc), '[]') from relays r),
    'shards', (
        select json_agg(json_build_object(
            'shard', s.shard, 'owner', s.owner, 'epoch', s.epoch, 'acquired_at', s.acquired_at) order by s.shard)
        from outbox.shards s),
    'dead_letters', (select count(*) from outbox.dead_letters),
    'blocked', (select count(*) from outbox.blocked b where b.released_at is null))::text
