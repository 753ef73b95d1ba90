-- Returns in found how many of the next p_limit rows with ids above p_after a replay with these filters would copy, and in
-- next the p_after of the next call, null at the end. With p_event_ids one call looks at all rows of those events.
create or replace function outbox.count_replay(
    p_after bigint, p_limit integer,
    p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text,
    p_from timestamptz, p_to timestamptz, p_id_from bigint, p_id_to bigint
)
returns table (found bigint, next bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_event_ids is not null then
        return query
        select count(*), null::bigint
        from outbox.find_sent(p_event_ids, clock_timestamp()) s
        where (p_destination is null or s.destination = p_destination)
          and (p_type is null or s.aggregate_type = p_type)
          and (p_id is null or s.aggregate_id = p_id)
          and (p_event_type is null or s.event_type = p_event_type)
          and (p_from is null or s.created_at >= p_from)
          and (p_to is null or s.created_at < p_to)
          and (p_id_from is null or s.id >= p_id_from)
          and (p_id_to is null or s.id <= p_id_to);
        return;
    end if;
    return query
    select count(*) filter (where s.wanted), case when count(*) = p_limit then max(s.id) end
    from outbox.search_replay(
        greatest(p_after, p_id_from - 1), coalesce(p_id_to, 9223372036854775807), clock_timestamp(), p_limit,
        p_destination, p_type, p_id, p_event_type, p_from, p_to) s;
end
$$;

select outbox.grant_function('count_replay', '{outbox_redrive}');
