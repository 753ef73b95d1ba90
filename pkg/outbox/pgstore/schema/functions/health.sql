-- Returns the state of the outbox as one JSON object with the keys of Go's janitor.Health. Counts of rows stop at p_limit,
-- but not that of blocked lanes; p_alarm is the age above which an unsent event counts as stale.
create or replace function outbox.health(p_alarm interval, p_limit integer) returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    at      timestamptz := clock_timestamp();
    current constant bigint := outbox.current_partition();
    ahead   bigint := 0;
begin
    while to_regclass(format('outbox.%I', outbox.partition_name('events', current + ahead))) is not null loop
        ahead := ahead + 1;
    end loop;
    return (
        with unsent as materialized (
            select u.*
            from outbox.unknown_destinations('{}') as d
            cross join lateral (
                select e.id, e.created_at, e.shard, e.destination, e.aggregate_type, e.aggregate_id
                from outbox.events e
                where e.destination = d.name and e.sent_at is null
                order by e.destination, e.id
                limit p_limit
            ) as u
            limit p_limit
        ), positions as materialized (
            select s.shard,
                   case when s.covered then coalesce(r.gaps, s.gaps) else s.gaps end as gaps,
                   case when s.covered then coalesce(r.destinations, s.destinations) else s.destinations end as destinations,
                   case when s.covered then coalesce(r.lows, s.lows) else s.lows end as lows
            from outbox.shards s left join outbox.relays r on r.relay_id = s.owner
        ), holders as (
            select 'transaction' as kind, a.backend_xmin as xmin, a.xact_start as since,
                   concat_ws(' ', 'pid', a.pid, a.usename, nullif(a.application_name, ''), a.state) as who
            from pg_stat_activity a
            where a.backend_xmin is not null and a.pid <> pg_backend_pid()
            union all
            select 'prepared transaction', p.transaction, p.prepared, p.gid from pg_prepared_xacts p
            union all
            select 'replication slot', x.xmin, null, s.slot_name
            from pg_replication_slots s cross join lateral (values (s.xmin), (s.catalog_xmin)) as x (xmin)
            where x.xmin is not null
        )
        select json_build_object(
            'now', at,
            'last_run', (select j.ended_at from outbox.janitor j),
            'partitions_ahead', ahead - 1,
            'events_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.events'::regclass) - 1,
            'archive_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.archive'::regclass) - 1,
            'unsent', (select count(*) from unsent),
            'behind', (
                select count(*) from unsent u join positions p on p.shard = u.shard
                where u.id <= p.lows[array_position(p.destinations, u.destination)] and not p.gaps @> u.id and u.created_at < at - interval '1 minute'
                  and not exists (
                      select from outbox.blocked b
                      where (b.destination, b.aggregate_type, b.aggregate_id) = (u.destination, u.aggregate_type, u.aggregate_id))),
            'stale', (select count(*) from unsent u where u.created_at < at - p_alarm),
            'oldest_seconds', coalesce((select extract(epoch from at - min(u.created_at)) from unsent u), 0),
            'default_rows', (select count(*) from (select from outbox.events_default limit p_limit) as d),
            'archive_default_rows', (select count(*) from (select from outbox.archive_default limit p_limit) as d),
            'blocked', (select count(*) from outbox.blocked b where b.released_at is null),
            'blocked_seconds', coalesce((select extract(epoch from at - min(b.blocked_at)) from outbox.blocked b where b.released_at is null), 0),
            'dead_letters', (select count(*) from (select from outbox.dead_letters limit p_limit) as d),
            'dead_letter_seconds', coalesce((select extract(epoch from at - min(d.dead_at)) from (select o.dead_at from outbox.dead_letters o order by o.id limit p_limit) as d), 0),
            'dead_tuples', (
                select coalesce(sum(t.n_dead_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'live_tuples', (
                select coalesce(sum(t.n_live_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'last_autovacuum', (
                select max(t.last_autovacuum) from pg_stat_all_tables t where t.schemaname = 'outbox' and t.relname ~ '^events_'),
            'bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.events'::regclass),
            'archive_bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.archive'::regclass),
            'xmin', (
                select json_build_object('kind', h.kind, 'who', h.who, 'transactions', age(h.xmin),
                                         'seconds', coalesce(extract(epoch from at - h.since), 0))
                from holders h order by age(h.xmin) desc, h.since limit 1)));
end
$$;

select outbox.grant_function('health', '{outbox_janitor}');
