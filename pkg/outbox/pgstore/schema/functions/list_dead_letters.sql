-- Returns the first p_limit dead letters with ids above p_after that pass the filters, as a JSON array with the keys of
-- Go's pgadmin.DeadLetter; with payload and headers where p_content is true. json_strip_nulls is
-- not for these: it refuses headers with \u0000.
create or replace function outbox.list_dead_letters(
    p_after bigint, p_limit integer, p_content boolean,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(json_agg(json_build_object(
            'id', x.id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
            'aggregate_id', x.aggregate_id, 'event_type', x.event_type, 'replays', x.replays, 'created_at', x.created_at,
            'dead_at', x.dead_at, 'attempts', x.attempts, 'code', x.code, 'reason', x.reason, 'blocks', x.blocks,
            'payload', x.payload::text, 'headers', x.headers) order by x.id), '[]')
        from (
            select d.id, d.event_id, d.destination, d.aggregate_type, d.aggregate_id, d.event_type, d.replays, d.created_at,
                   d.dead_at, d.attempts, d.code, d.reason,
                   case when p_content then d.payload end as payload,
                   case when p_content then d.headers end as headers,
                   exists (
                       select from outbox.blocked b
                       where (b.destination, b.aggregate_type, b.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id)
                         and b.event_id = d.event_id) as blocks
            from outbox.dead_letters d
            where d.id > p_after
              and outbox.passes(d, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to)
            order by d.id
            limit p_limit
        ) as x);
end
$$;

select outbox.grant_function('list_dead_letters', '{outbox_redrive}');
