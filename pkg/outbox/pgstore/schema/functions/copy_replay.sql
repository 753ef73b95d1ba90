-- Copies the next events of a replay that are on its list in outbox.replay_events, all of one aggregate, and
-- takes them off the list, in one transaction that writers of the aggregate wait for. Without interleave these
-- are all events that the list has of the aggregate, p_limit at most; with interleave, those that come before
-- the first of another aggregate. The copies have new ids, in the order of the old ones, and replays one above
-- the highest of their event. outcome:
--   copied   count events were copied
--   gone     the next event, count is 1, is neither in outbox.events nor in the archive any more
--   large    the list has more than p_limit events of the aggregate: count were taken off it, none was copied
--   ended    nothing is left on the list
--   search   the search is not over
--   missing  there is no such replay
create or replace function outbox.copy_replay(p_replay uuid, p_limit integer)
returns table (outcome text, count bigint, aggregate_type text, aggregate_id text, event_id uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r     outbox.replays;
    head  outbox.replay_events;
    ids   bigint[];
    first record;
begin
    count := 0;
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is null then
        outcome := case when r.replay_id is null then 'missing' else 'search' end;
        return next;
        return;
    end if;
    select t.* into head from outbox.replay_events t where t.replay_id = p_replay order by t.id limit 1;
    if not found then
        update outbox.replays x set ended_at = coalesce(x.ended_at, clock_timestamp()) where x.replay_id = p_replay;
        outcome := 'ended';
        return next;
        return;
    end if;

    select o.aggregate_type, o.aggregate_id, o.event_id into first
    from (
        select e.aggregate_type, e.aggregate_id, e.event_id from outbox.events e where e.id = head.id
        union all
        select a.aggregate_type, a.aggregate_id, a.event_id from outbox.archive a where a.id = head.id
    ) as o;
    if not found then
        delete from outbox.replay_events t where t.replay_id = p_replay and t.id = head.id;
        update outbox.replays x set failed = x.failed + 1 where x.replay_id = p_replay;
        outcome := 'gone';
        count := 1;
        return next;
        return;
    end if;
    aggregate_type := first.aggregate_type;
    aggregate_id := first.aggregate_id;
    event_id := first.event_id;

    if r.interleave then
        ids := array(
            select t.id
            from (
                select n.id, n.aggregate, bool_and(n.aggregate = head.aggregate) over (order by n.id) as same
                from (
                    select x.id, x.aggregate from outbox.replay_events x
                    where x.replay_id = p_replay order by x.id limit p_limit) as n
            ) as t
            where t.same
            order by t.id);
    else
        ids := array(
            select t.id from outbox.replay_events t
            where t.replay_id = p_replay and t.aggregate = head.aggregate
            order by t.id
            limit p_limit + 1);
        if cardinality(ids) > p_limit then
            delete from outbox.replay_events t where t.replay_id = p_replay and t.aggregate = head.aggregate;
            get diagnostics count = row_count;
            update outbox.replays x set failed = x.failed + count where x.replay_id = p_replay;
            outcome := 'large';
            return next;
            return;
        end if;
    end if;

    -- The ids of the copies are drawn under this lock, as those of new events.
    perform outbox.lock_aggregate(first.aggregate_type, first.aggregate_id);
    with originals as materialized (
        select e.id, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload, e.headers
        from outbox.events e where e.id = any (ids)
        union all
        select a.id, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.payload, a.headers
        from outbox.archive a where a.id = any (ids)
    ), mine as materialized (
        select o.*,
               outbox.next_generation(o.event_id) - 1
                   + row_number() over (partition by o.event_id order by o.id) as generation
        from originals o
        where o.aggregate_type = first.aggregate_type and o.aggregate_id = first.aggregate_id
    ), copies as (
        insert into outbox.events as e (
            replay_of, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers)
        select m.id, m.event_id, m.generation, m.aggregate_type, m.aggregate_id, m.event_type,
               coalesce(r.redirect, m.destination), m.payload, m.headers
        from mine m
        order by m.id
        returning e.id, e.replay_of, e.event_id, e.replays, e.destination
    ), noted as (
        insert into outbox.redrives (row_id, copy_id, event_id, generation, source, request_id, destination)
        select c.replay_of, c.id, c.event_id, c.replays, 'replay', r.request_id, c.destination
        from copies c
        order by c.id
    ), listed as (
        delete from outbox.replay_events t using copies c where t.replay_id = p_replay and t.id = c.replay_of
    )
    select count(*) from copies into count;
    update outbox.replays x set copied = x.copied + count where x.replay_id = p_replay;
    outcome := 'copied';
    return next;
end
$$;

select outbox.grant_function('copy_replay', '{outbox_redrive}');
