-- Moves a dead letter back to outbox.events under its old id, releases its lane and
-- records it in outbox.redrives. The caller has locked the dead letter. It answers:
--   redriven   the event is pending again
--   archiving  its partition is about to be archived: try again
--   refused    the row as it is now breaks a rule of outbox.events, or its id is that of another event now
--
-- The row is behind the position of the relay that owns the shard. The release
-- makes that relay read the lane again from its first event on, before anything
-- else of it. A lane that is blocked behind another event stays blocked.
create or replace function outbox.put_back(d outbox.dead_letters, p_redirect text, p_source text, p_request text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target     text := coalesce(p_redirect, d.destination);
    generation integer := outbox.next_generation(d.event_id);
    violated   text;
begin
    begin
        insert into outbox.events (
            id, created_at, replay_of, event_id, replays, aggregate_type, aggregate_id, event_type,
            destination, payload, headers)
        overriding system value
        values (
            d.id, d.created_at, d.replay_of, d.event_id, generation, d.aggregate_type, d.aggregate_id, d.event_type,
            target, d.payload, d.headers);
    exception
        when check_violation or not_null_violation or unique_violation then
            get stacked diagnostics violated = constraint_name;
            return case when violated = 'being_archived' then 'archiving' else 'refused' end;
    end;
    delete from outbox.dead_letters x where (x.id, x.event_id) = (d.id, d.event_id);

    -- No two releases of a lane have the same time: it tells them apart.
    insert into outbox.blocked as b (
        first_id, released_at, event_id, shard, destination, aggregate_type, aggregate_id, reason)
    values (d.id, clock_timestamp(), d.event_id, d.shard, target, d.aggregate_type, d.aggregate_id, 'redriven')
    on conflict (destination, aggregate_type, aggregate_id) do update
    set first_id = least(b.first_id, excluded.first_id),
        released_at = case
            when b.released_at is not null then greatest(excluded.released_at, b.released_at + interval '1 microsecond')
            when b.event_id = excluded.event_id then excluded.released_at
        end;

    insert into outbox.redrives (
        row_id, event_id, generation, attempts, source, request_id, destination, code, reason)
    values (d.id, d.event_id, generation, d.attempts, p_source, p_request, target, d.code, d.reason);
    return 'redriven';
end
$$;

select outbox.grant_function('put_back');
