-- Begins a replay of what has been sent by now, and answers true. Called again with the same id it changes nothing and
-- answers false, so that a replay keeps the filters that it began with.
create or replace function outbox.start_replay(
    p_replay uuid, p_request text, p_redirect text, p_interleave boolean,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into outbox.replays (
        replay_id, request_id, redirect, interleave, event_ids, destination, aggregate_type, aggregate_id, event_type,
        created_from, created_to, through, last_id)
    select p_replay, p_request, p_redirect, p_interleave, p_event_ids, p_destination, p_type, p_id, p_event_type,
           p_from, p_to, coalesce(p_id_from, 1) - 1, least(s.last_value, p_id_to)
    from outbox.events_id_seq s
    on conflict (replay_id) do nothing;
    return found;
end
$$;

select outbox.grant_function('start_replay', '{outbox_redrive}');
