-- Returns the rows with ids from p_from[i] to p_to[i], in the order of their ids, of any shard and state, at most p_limit.
-- The ranges must be sorted. A row that is unsent and of one of the shards comes with its content, or with blocked true
-- and without payload and headers when its lane is blocked. A payload of more than p_payload bytes is left out with its
-- headers, and payload_bytes says how many it has. All others come with their id alone.
--
-- The settings leave the planner one plan, in the order of an index, so that the limits stop the reading whatever
-- the statistics say: after a large COPY there are none, and a plan that sorts would read the whole backlog each
-- time. Compiling the plan (jit) would take longer than running it. They are settings of the function, because as
-- settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_gaps(p_from bigint[], p_to bigint[], p_shards smallint[], p_limit integer, p_payload integer)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer,
    blocked boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
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
           case when r.mine and not r.blocked and r.payload_bytes <= p_payload then r.payload end,
           case when r.mine and not r.blocked and r.payload_bytes <= p_payload then r.headers end,
           case when r.mine then r.payload_bytes end,
           r.mine and r.blocked
    from unnest(p_from, p_to) as g (first, last)
    cross join lateral (
        select e.*,
               e.sent_at is null and e.shard = any (p_shards) as mine,
               e.sent_at is null and exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id
               ) as blocked
        from outbox.events e
        where e.id between g.first and g.last
          and e.id between p_from[1] and p_to[cardinality(p_to)]
        order by e.id
        limit p_limit
    ) as r
    limit p_limit;
end
$$;

select outbox.grant_function('read_gaps', '{outbox_relay}');
