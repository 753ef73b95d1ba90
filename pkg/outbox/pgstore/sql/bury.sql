-- Moves events to outbox.dead_letters and blocks lanes. As in outbox.settle nothing changes without the relay's row,
-- which is locked, and a row of another event stays: mismatched counts those. An event that was redriven since has
-- another number of replays, and stays: then this settlement is an old one that arrived late.
with fence as materialized (
    select r.relay_id from outbox.relays r where r.relay_id = $1::uuid for key share
), removed as (
    delete from outbox.events e
    using unnest($2::bigint[], $10::text[]::uuid[], $9::integer[]) as s (id, event_id, replays)
    where e.id = s.id
      and e.event_id = s.event_id
      and e.replays = s.replays
      and e.id between $3::bigint and $4::bigint
      and e.message_id is null
      and exists (select from fence)
    returning e.*
), buried as (
    select r.*, s.attempts, s.code, s.reason, s.block
    from removed r
    join unnest($2::bigint[], $10::text[]::uuid[], $5::integer[], $6::text[], $7::text[], $8::boolean[])
        as s (id, event_id, attempts, code, reason, block) on (s.id, s.event_id) = (r.id, r.event_id)
), letters as (
    insert into outbox.dead_letters as d (
        id, created_at, event_id, replays, replay_of, attempts, shard,
        aggregate_type, aggregate_id, event_type, destination, payload, headers, code, reason)
    select r.id, r.created_at, r.event_id, r.replays, r.replay_of, r.attempts, r.shard,
           r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.payload, r.headers, r.code, r.reason
    from buried r
    order by r.id
    on conflict (id, event_id) do update
    set dead_at = excluded.dead_at, replays = excluded.replays, attempts = excluded.attempts,
        code = excluded.code, reason = excluded.reason
), blocked as (
    insert into outbox.blocked as b (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
    select distinct on (r.destination, r.aggregate_type, r.aggregate_id)
           r.id, r.event_id, r.shard, r.destination, r.aggregate_type, r.aggregate_id, r.reason
    from buried r
    where r.block
    order by r.destination, r.aggregate_type, r.aggregate_id, r.id
    on conflict (destination, aggregate_type, aggregate_id) do update
    set first_id = least(b.first_id, excluded.first_id),
        event_id = excluded.event_id, reason = excluded.reason,
        blocked_at = excluded.blocked_at, released_at = null
)
select (select count(*) from fence) = 0 as fenced,
       (select count(*) from buried) as buried,
       (select count(*)
        from unnest($2::bigint[], $10::text[]::uuid[]) as s (id, event_id)
        join outbox.events e on e.id = s.id
        where e.event_id <> s.event_id
          and e.id between $3::bigint and $4::bigint
          and exists (select from fence)) as mismatched
