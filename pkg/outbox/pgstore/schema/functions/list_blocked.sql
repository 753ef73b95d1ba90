-- Returns the first p_limit blocked lanes that pass the filters, as a JSON array with the keys of Go's
-- pgadmin.BlockedLane. waiting is how many events of the lane are among the first p_examine unsent events of its
-- destination.
create or replace function outbox.list_blocked(
    p_limit integer, p_examine integer, p_destination text, p_type text, p_id text
) returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
    with pending as materialized (
        select u.*
        from (select distinct b.destination from outbox.blocked b) as d
        cross join lateral (
            select e.destination, e.aggregate_type, e.aggregate_id
            from outbox.events e
            where e.destination = d.destination and e.sent_at is null
            order by e.destination, e.id
            limit p_examine
        ) as u
    )
    select coalesce(json_agg(json_strip_nulls(json_build_object(
        'first_id', x.first_id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
        'aggregate_id', x.aggregate_id, 'blocked_at', x.blocked_at, 'released_at', x.released_at, 'reason', x.reason,
        'dead_letter', x.dead_letter, 'waiting', x.waiting)) order by x.first_id), '[]')
    from (
        select b.first_id, b.event_id, b.destination, b.aggregate_type, b.aggregate_id, b.blocked_at, b.released_at, b.reason,
               exists (
                   select from outbox.dead_letters d
                   where d.event_id = b.event_id
                     and (d.destination, d.aggregate_type, d.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as dead_letter,
               (select count(*) from pending p
                where (p.destination, p.aggregate_type, p.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as waiting
        from outbox.blocked b
        where (p_destination is null or b.destination = p_destination)
          and (p_type is null or b.aggregate_type = p_type)
          and (p_id is null or b.aggregate_id = p_id)
        order by b.first_id
        limit p_limit
    ) as x
$$;

select outbox.grant_function('list_blocked', '{outbox_relay, outbox_redrive, outbox_janitor}');
