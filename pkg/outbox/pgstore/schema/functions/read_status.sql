-- Returns the state of the outbox as one JSON object with the keys of Go's pgadmin.Status. Only the first p_limit unsent
-- events are counted.
create or replace function outbox.read_status(p_limit integer) returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
    with pending as materialized (
        select e.destination, e.created_at
        from outbox.events e
        where e.sent_at is null
        order by e.id
        limit p_limit
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
        'blocked', (select count(*) from outbox.blocked b where b.released_at is null))
$$;

select outbox.grant_function('read_status', '{outbox_relay, outbox_redrive, outbox_janitor}');
