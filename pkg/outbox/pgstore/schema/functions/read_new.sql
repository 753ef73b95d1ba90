-- Returns the rows with ids above p_after in the order of their ids, at most p_limit, of any shard and state: an id that is
-- missing between two of them is a gap. Rows with ids that the sequence has not given, which were inserted with an explicit
-- id, are left out: read_unsent has them. The sequence is read after the snapshot was taken, so that no other row is.
--
-- A row that the relay may send, which is unsent, of one of the shards and of no
-- blocked lane, comes with its content, but without payload and headers where the payload has more than p_payload bytes
-- (payload_bytes says how many it has); the others come with their id alone.
--
-- It is a function because the server keeps the plans of a function with the session, whatever pooler is in front; a
-- statement without a name is planned each time, which takes longer than running it. The settings leave one plan,
-- good for an empty table and for a large one: partitions without any of the ids are passed over when it runs. They
-- are settings of the function, because as settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_new(p_after bigint, p_shards smallint[], p_limit integer, p_payload integer)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer
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
    last constant bigint := outbox.last_id();
begin
    return query
    select r.id,
           case when r.mine then r.created_at end,
           case when r.mine then r.event_id end,
           case when r.mine then r.replays end,
           case when r.mine then r.replay_of end,
           case when r.mine then r.shard end,
           case when r.mine then r.aggregate_type end,
           case when r.mine then r.aggregate_id end,
           case when r.mine then r.event_type end,
           case when r.mine then r.destination end,
           case when r.mine and r.payload_bytes <= p_payload then r.payload end,
           case when r.mine and r.payload_bytes <= p_payload then r.headers end,
           case when r.mine then r.payload_bytes end
    from (
        select e.*,
               e.sent_at is null
               and e.shard = any (p_shards)
               and not exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id
               ) as mine
        from outbox.events e
        where e.id > p_after and e.id <= last
        order by e.id
        limit p_limit
    ) as r
    order by r.id;
end
$$;

select outbox.grant_function('read_new', '{outbox_relay}');
