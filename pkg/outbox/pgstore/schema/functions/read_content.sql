-- Returns payload and headers of the unsent rows of some ids, which must be sorted, with what tells a row from another that
-- had its id: its event_id and replays. It is for the rows that the other reads returned without payload and headers, of
-- which the caller has chosen as many as it has memory for.
--
-- The settings leave one plan, the search of an index for the ids, whatever the statistics say. They are settings of the
-- function, because as settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_content(p_ids bigint[])
returns table (id bigint, event_id uuid, replays integer, payload json, headers json)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    return query
    select e.id, e.event_id, e.replays, e.payload, e.headers
    from outbox.events e
    where e.id = any (p_ids)
      and e.id between p_ids[1] and p_ids[cardinality(p_ids)]
      and e.message_id is null;
end
$$;

select outbox.grant_function('read_content', '{outbox_relay}');
