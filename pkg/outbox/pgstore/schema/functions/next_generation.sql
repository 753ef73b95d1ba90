-- Returns the value of the column replays for a row of the event that is about to be sent again: one above the highest
-- value that the rows of the event have.
create or replace function outbox.next_generation(p_event uuid) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(max(g.replays), 0) + 1
    from (
        select e.replays from outbox.events e where e.event_id = p_event
        union all
        select a.replays from outbox.archive a where a.event_id = p_event
        union all
        select d.replays from outbox.dead_letters d where d.event_id = p_event
    ) as g
$$;

select outbox.grant_function('next_generation');
