-- The planner may read every unsent row between the lowest id and the highest,
-- so the ids of one statement lie close together.
--
-- The fence waits for a takeover that is deleting the relay's row, and holds
-- up none of its renewals. The ids come sorted and are looked up one after the
-- other, so that two settlements of the same events do not wait for each other
-- in a circle.
with fence as materialized (
    select r.relay_id from outbox.relays r where r.relay_id = $1::uuid for key share
), accepted as (
    update outbox.events e
    set sent_at = clock_timestamp(), message_id = s.message_id, sequence_number = nullif(s.sequence_number, '')
    from unnest($2::bigint[], $3::text[], $4::text[]) as s (id, message_id, sequence_number)
    where e.id = s.id
      and e.id between $5::bigint and $6::bigint
      and e.sent_at is null
      and exists (select from fence)
    returning e.id
)
select (select count(*) from fence) = 0 as fenced, (select count(*) from accepted) as settled
