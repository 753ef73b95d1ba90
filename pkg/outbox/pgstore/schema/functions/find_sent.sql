-- Returns the rows of outbox.events and the archive with the given event ids that a replay may copy: those that were sent
-- before p_before and are no copies themselves.
create or replace function outbox.find_sent(p_event_ids uuid[], p_before timestamptz)
returns table (
    id bigint, created_at timestamptz, event_id uuid, aggregate_type text, aggregate_id text, event_type text, destination text
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select e.id, e.created_at, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
    from outbox.events e
    where e.event_id = any (p_event_ids) and e.sent_at < p_before and e.replay_of is null
    union all
    select a.id, a.created_at, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
    from outbox.archive a
    where a.event_id = any (p_event_ids) and a.sent_at < p_before and a.replay_of is null;
$$;

select outbox.grant_function('find_sent');
