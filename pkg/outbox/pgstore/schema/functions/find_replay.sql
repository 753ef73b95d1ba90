-- Searches the next p_limit rows for a replay and lists those to copy in outbox.replay_events. It returns the
-- replay as it is then, and no row when there is no such replay. A replay of given event ids is searched in one
-- call.
create or replace function outbox.find_replay(p_replay uuid, p_limit integer) returns setof outbox.replays
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    r      outbox.replays;
    looked bigint;
    last   bigint;
    listed bigint;
begin
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is not null then
        return query select x.* from outbox.replays x where x.replay_id = p_replay;
        return;
    end if;
    if r.event_ids is not null then
        insert into outbox.replay_events (replay_id, id, aggregate)
        select p_replay, s.id, hashtextextended(s.aggregate_id, hashtextextended(s.aggregate_type, 0))
        from outbox.find_sent(r.event_ids, r.created_at) s
        where s.id > r.through and s.id <= r.last_id
          and (r.destination is null or s.destination = r.destination)
          and (r.aggregate_type is null or s.aggregate_type = r.aggregate_type)
          and (r.aggregate_id is null or s.aggregate_id = r.aggregate_id)
          and (r.event_type is null or s.event_type = r.event_type)
          and (r.created_from is null or s.created_at >= r.created_from)
          and (r.created_to is null or s.created_at < r.created_to);
        get diagnostics listed = row_count;
        last := r.last_id;
    else
        with page as materialized (
            select s.* from outbox.search_replay(
                r.through, r.last_id, r.created_at, p_limit,
                r.destination, r.aggregate_type, r.aggregate_id, r.event_type, r.created_from, r.created_to) s
        ), added as (
            insert into outbox.replay_events (replay_id, id, aggregate)
            select p_replay, p.id, p.aggregate from page p where p.wanted
            returning 1
        )
        select (select count(*) from page), (select max(p.id) from page p), (select count(*) from added)
        into looked, last, listed;
        if looked < p_limit then
            last := r.last_id;
        end if;
    end if;
    return query
    update outbox.replays x
    set through = last,
        found = x.found + listed,
        searched_at = case when last >= r.last_id then clock_timestamp() end
    where x.replay_id = p_replay
    returning x.*;
end
$$;

select outbox.grant_function('find_replay', '{outbox_redrive}');
