-- Returns the state of the outbox as one JSON object with the keys of Go's pgadmin.Status. Only the first p_limit unsent
-- events of each destination are counted. A destination is unknown when neither a relay nor the last owner of a shard is
-- configured for it; all are known before the first relay.
create or replace function outbox.read_status(p_limit integer) returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
    with recursive names as (
        (select e.destination as name from outbox.events e where e.sent_at is null order by e.destination limit 1)
        union all
        select (
            select e.destination from outbox.events e
            where e.sent_at is null and e.destination > n.name
            order by e.destination limit 1)
        from names n
        where n.name is not null
    ), configured as materialized (
        select unnest(r.destinations) as name from outbox.relays r
        union
        select unnest(s.destinations) from outbox.shards s where s.owner is null
    ), destinations as materialized (
        select n.name as destination, count(*) as pending, min(u.created_at) as oldest,
               exists (select from configured) and not exists (select from configured c where c.name = n.name) as unknown
        from names n
        cross join lateral (
            select e.created_at
            from outbox.events e
            where e.destination = n.name and e.sent_at is null
            order by e.destination, e.id
            limit p_limit
        ) as u
        group by n.name
    ), relays as (
        select r.relay_id, r.name, r.started_at, r.run_until, r.lease_until, r.leaving, r.low,
               (select count(*) from outbox.shards s where s.owner = r.relay_id) as shards
        from outbox.relays r
    )
    select json_build_object(
        'now', clock_timestamp(),
        'schema_version', (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
        'pending', (select least(coalesce(sum(d.pending), 0), p_limit)::bigint from destinations d),
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
