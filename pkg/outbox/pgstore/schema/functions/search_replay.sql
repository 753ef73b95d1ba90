-- Returns the next p_limit rows of outbox.events and the archive in the order of their ids. aggregate is a hash of the
-- row's aggregate. wanted is true for a row that a replay copies: it was sent before p_before, is no copy itself and
-- passes the filters.
create or replace function outbox.search_replay(
    p_after bigint, p_until bigint, p_before timestamptz, p_limit integer,
    p_destination text, p_type text, p_id text, p_event_type text, p_from timestamptz, p_to timestamptz
)
returns table (id bigint, aggregate bigint, wanted boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
begin
    return query
    select r.id,
           hashtextextended(r.aggregate_id, hashtextextended(r.aggregate_type, 0)),
           r.sent_at < p_before
               and r.replay_of is null
               and (p_destination is null or r.destination = p_destination)
               and (p_type is null or r.aggregate_type = p_type)
               and (p_id is null or r.aggregate_id = p_id)
               and (p_event_type is null or r.event_type = p_event_type)
               and (p_from is null or r.created_at >= p_from)
               and (p_to is null or r.created_at < p_to)
    from (
        (select e.id, e.created_at, e.sent_at, e.replay_of, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
         from outbox.events e
         where e.id > p_after and e.id <= p_until
         order by e.id
         limit p_limit)
        union all
        (select a.id, a.created_at, a.sent_at, a.replay_of, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
         from outbox.archive a
         where a.id > p_after and a.id <= p_until
         order by a.id
         limit p_limit)
    ) as r
    order by r.id
    limit p_limit;
end
$$;

select outbox.grant_function('search_replay');
