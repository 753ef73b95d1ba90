-- Answers whether a dead letter passes the filters. A filter that is null lets every dead letter pass. Its body is
-- resolved when it is created, so that it needs no search_path.
create or replace function outbox.passes(
    d outbox.dead_letters,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
) returns boolean
language sql immutable
return (p_event_ids is null or d.event_id = any (p_event_ids))
   and (p_destination is null or d.destination = p_destination)
   and (p_type is null or d.aggregate_type = p_type)
   and (p_id is null or d.aggregate_id = p_id)
   and (p_event_type is null or d.event_type = p_event_type)
   and (p_from is null or d.created_at >= p_from)
   and (p_to is null or d.created_at < p_to)
   and (p_id_from is null or d.id >= p_id_from)
   and (p_id_to is null or d.id <= p_id_to);

select outbox.grant_function('passes');
