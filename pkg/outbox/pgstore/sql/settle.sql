-- The fence waits for a takeover that is deleting the relay's row, and holds
-- up none of its renewals. Rows are locked in the order of their ids, so that
-- two settlements never wait for each other in a circle.
with fence as materialized (
    select r.relay_id from outbox.relays r where r.relay_id = $1::uuid for key share
), locked as materialized (
    select e.id
    from outbox.events e
    where e.id = any ($2::bigint[])
      and e.id between $3::bigint and $4::bigint
      and e.sent_at is null
      and exists (select from fence)
    order by e.id
    for no key update of e
), accepted as (
    update outbox.events e
    set sent_at = clock_timestamp(), message_id = s.message_id, sequence_number = nullif(s.sequence_number, '')
    from unnest($5::bigint[], $6::text[], $7::text[]) as s (id, message_id, sequence_number)
    join locked l on l.id = s.id
    where e.id = s.id and e.id between $3::bigint and $4::bigint
    returning e.id
), removed as (
    delete from outbox.events e
    using unnest($8::bigint[]) as s (id)
    join locked l on l.id = s.id
    where e.id = s.id and e.id between $3::bigint and $4::bigint
    returning e.*
), dead as (
    select r.*, s.attempts, s.code, s.reason, s.block
    from removed r
    join unnest($8::bigint[], $9::integer[], $10::text[], $11::text[], $12::boolean[])
        as s (id, attempts, code, reason, block) on s.id = r.id
), buried as (
    insert into outbox.dead_letters as d (
        id, created_at, event_id, replays, attempts, shard,
        aggregate_type, aggregate_id, event_type, destination, payload, headers, code, reason)
    select r.id, r.created_at, r.event_id, r.replays, r.attempts, r.shard,
           r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.payload, r.headers, r.code, r.reason
    from dead r
    order by r.id
    on conflict (id) do update
    set dead_at = excluded.dead_at, replays = excluded.replays, attempts = excluded.attempts,
        code = excluded.code, reason = excluded.reason
), held as (
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
select (select count(*) from fence), (select count(*) from accepted), (select count(*) from dead)
