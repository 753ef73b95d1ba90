-- Marks events as sent. marked is how many it marked, null when the relay has no row in outbox.relays any more. An event is
-- the row with its id and its event id: mismatched is how many of the ids have a row of another event, which stays as it
-- is. The lock on the relay's row waits for a takeover that is deleting the row, and delays no renewal. The ids come
-- sorted, and the rows are written in the order of an index, so that two settlements of the same events do not wait for
-- each other in a circle.
--
-- It is a function because the server keeps the plans of a function with the session, whatever pooler is in front; a
-- statement without a name is planned each time, which takes longer than running it. The settings leave one plan,
-- good for an empty table and for a large one: partitions without any of the ids are passed over when it runs. They
-- are settings of the function, because as settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.settle(
    p_relay uuid, p_ids bigint[], p_event_ids uuid[], p_message_ids text[], p_sequence_numbers text[],
    out marked integer, out mismatched integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
begin
    mismatched := 0;
    perform from outbox.relays r where r.relay_id = p_relay for key share;
    if not found then
        return;
    end if;
    update outbox.events e
    set sent_at = clock_timestamp(), message_id = s.message_id, sequence_number = nullif(s.sequence_number, '')
    from unnest(p_ids, p_event_ids, p_message_ids, p_sequence_numbers) as s (id, event_id, message_id, sequence_number)
    where e.id = s.id
      and e.event_id = s.event_id
      -- As unsent rows have no message id. With sent_at, the plan could read the whole index of unsent rows.
      and e.message_id is null
      -- The index is searched for the ids, and only partitions of their range are.
      and e.id = any (p_ids)
      and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    get diagnostics marked = row_count;
    if marked < cardinality(p_ids) then
        select count(*) into mismatched
        from unnest(p_ids, p_event_ids) as s (id, event_id)
        join outbox.events e on e.id = s.id
        where e.event_id <> s.event_id
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    end if;
end
$$;

select outbox.grant_function('settle', '{outbox_relay}');
