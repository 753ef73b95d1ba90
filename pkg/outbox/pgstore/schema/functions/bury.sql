-- Moves events to outbox.dead_letters and blocks the lanes of those with p_blocks. buried is how many it moved, null when
-- the relay has no row in outbox.relays any more, which is locked as in outbox.settle. An event is the row with its id and
-- its event id: mismatched is how many of the ids have a row of another event, which stays as it is. An event that was
-- redriven since has another number of replays, and stays: then this settlement is an old one that arrived late. The
-- ids come sorted, and the settings leave one plan, as in outbox.settle.
create or replace function outbox.bury(
    p_relay uuid, p_ids bigint[], p_event_ids uuid[], p_replays integer[],
    p_attempts integer[], p_codes text[], p_reasons text[], p_blocks boolean[],
    out buried integer, out mismatched integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
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
    with removed as (
        delete from outbox.events e
        using unnest(p_ids, p_event_ids, p_replays) as s (id, event_id, replays)
        where e.id = s.id
          and e.event_id = s.event_id
          and e.replays = s.replays
          and e.message_id is null -- as unsent rows have none
          -- The index is searched for the ids, and only partitions of their range are.
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)]
        returning e.*
    ), dead as (
        select r.*, s.attempts, s.code, s.reason, s.block
        from removed r
        join unnest(p_ids, p_event_ids, p_attempts, p_codes, p_reasons, p_blocks)
            as s (id, event_id, attempts, code, reason, block) on (s.id, s.event_id) = (r.id, r.event_id)
    ), letters as (
        insert into outbox.dead_letters as d (
            id, created_at, event_id, replays, replay_of, attempts, shard,
            aggregate_type, aggregate_id, event_type, destination, payload, headers, code, reason)
        select r.id, r.created_at, r.event_id, r.replays, r.replay_of, r.attempts, r.shard,
               r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.payload, r.headers, r.code, r.reason
        from dead r
        order by r.id
        on conflict (id, event_id) do update
        set dead_at = excluded.dead_at, replays = excluded.replays, attempts = excluded.attempts,
            code = excluded.code, reason = excluded.reason
    ), blocked as (
        insert into outbox.blocked as b (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
        select distinct on (r.destination, r.aggregate_type, r.aggregate_id)
               r.id, r.event_id, r.shard, r.destination, r.aggregate_type, r.aggregate_id, r.reason
        from dead r
        where r.block
        order by r.destination, r.aggregate_type, r.aggregate_id, r.id
        on conflict (destination, aggregate_type, aggregate_id) do update
        set first_id = least(b.first_id, excluded.first_id),
            event_id = excluded.event_id, reason = excluded.reason,
            blocked_at = excluded.blocked_at, released_at = null
    )
    select count(*) into buried from dead;
    if buried < cardinality(p_ids) then
        select count(*) into mismatched
        from unnest(p_ids, p_event_ids) as s (id, event_id)
        join outbox.events e on e.id = s.id
        where e.event_id <> s.event_id
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    end if;
end
$$;

select outbox.grant_function('bury', '{outbox_relay}');
