-- Returns the unsent rows of a lane, or of a destination where p_id is empty, from the id p_from on, below p_before and of
-- the given shards; those of blocked lanes only with p_blocked. It looks at
-- p_examine unsent rows at most and returns p_limit rows at most. place counts the rows looked at up to a row. Unless
-- p_limit rows came before it, row number p_examine comes too, as an id alone when it is none of those: the next call goes
-- on behind it. A payload of more than p_payload bytes is left out with its headers, and payload_bytes says how many it has.
--
-- The settings leave the planner one plan, in the order of an index, so that the limits stop the reading whatever
-- the statistics say: after a large COPY there are none, and a plan that sorts would read the whole backlog each
-- time. Compiling the plan (jit) would take longer than running it. They are settings of the function, because as
-- settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_deferred(
    p_destination text, p_type text, p_id text, p_from bigint, p_before bigint, p_shards smallint[], p_examine integer,
    p_limit integer, p_blocked boolean, p_payload integer
)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer,
    place bigint
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
           case when r.wanted then r.created_at end,
           case when r.wanted then r.event_id end,
           case when r.wanted then r.replays end,
           case when r.wanted then r.replay_of end,
           case when r.wanted then r.shard end,
           case when r.wanted then r.aggregate_type end,
           case when r.wanted then r.aggregate_id end,
           case when r.wanted then r.event_type end,
           case when r.wanted then r.destination end,
           case when r.wanted and r.payload_bytes <= p_payload then r.payload end,
           case when r.wanted and r.payload_bytes <= p_payload then r.headers end,
           case when r.wanted then r.payload_bytes end,
           r.place
    from (
        select e.*,
               row_number() over () as place,
               e.shard = any (p_shards)
               and (p_id = '' or e.aggregate_type = p_type and e.aggregate_id = p_id)
               and (p_blocked or not exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id)) as wanted
        from (
            select * from outbox.events x
            where x.destination = p_destination and x.sent_at is null and x.id >= p_from and x.id < p_before
            order by x.destination, x.id
            limit p_examine
        ) as e
    ) as r
    where r.wanted or r.place = p_examine
    limit p_limit;
end
$$;

select outbox.grant_function('read_deferred', '{outbox_relay}');
