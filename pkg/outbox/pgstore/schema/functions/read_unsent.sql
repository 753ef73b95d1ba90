-- Returns the unsent rows of some destinations with ids from p_from to below p_before, of the shards and of no blocked
-- lane, in the order of their ids, at most p_limit. Where p_before is 0 these are the rows from p_from on with ids that the
-- sequence has not given, which were inserted with an explicit id. The range bounds the reading: while a transaction holds
-- back vacuum, the index of unsent rows still has entries of rows that were sent since, and each is looked at. The column
-- place, always 0, makes the rows look like those of outbox.read_deferred. A payload of more than p_payload bytes is left
-- out with its headers, and payload_bytes says how many it has.
--
-- It is a function because the server keeps the plans of a function with the session, whatever pooler is in front; a
-- statement without a name is planned each time, which takes longer than running it. The settings leave one plan,
-- good for an empty table and for a large one: partitions without any of the ids are passed over when it runs. They
-- are settings of the function, because as settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_unsent(
    p_destinations text[], p_from bigint, p_before bigint, p_shards smallint[], p_limit integer, p_payload integer
)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer,
    place bigint
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
    first  constant bigint := case when p_before = 0 then greatest(p_from, outbox.last_id() + 1) else p_from end;
    before constant bigint := case when p_before = 0 then 9223372036854775807 else p_before end;
begin
    return query
    select e.id, e.created_at, e.event_id, e.replays, e.replay_of, e.shard,
           e.aggregate_type, e.aggregate_id, e.event_type, e.destination,
           case when e.payload_bytes <= p_payload then e.payload end,
           case when e.payload_bytes <= p_payload then e.headers end,
           e.payload_bytes, 0::bigint
    from unnest(p_destinations) as d (name)
    cross join lateral (
        select *
        from outbox.events x
        where x.destination = d.name
          and x.sent_at is null
          and x.id >= first
          and x.id < before
          and x.shard = any (p_shards)
          and not exists (
              select from outbox.blocked b
              where b.destination = x.destination
                and b.aggregate_type = x.aggregate_type
                and b.aggregate_id = x.aggregate_id
          )
        order by x.destination, x.id
        limit p_limit
    ) as e
    order by e.id
    limit p_limit;
end
$$;

select outbox.grant_function('read_unsent', '{outbox_relay}');
