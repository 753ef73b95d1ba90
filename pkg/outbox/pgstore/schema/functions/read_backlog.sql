-- Returns in pending how many rows are unsent, of the destination p_destinations[i] those with ids above p_lows[i], and all of
-- other destinations, at most p_limit, and in oldest the age in seconds of the oldest of those that were counted, 0 when
-- there are none.
--
-- The settings leave the planner one plan, in the order of an index, so that the limits stop the reading whatever
-- the statistics say: after a large COPY there are none, and a plan that sorts would read the whole backlog each
-- time. Compiling the plan (jit) would take longer than running it. They are settings of the function, because as
-- settings of the session they would pin the session behind RDS Proxy.
create or replace function outbox.read_backlog(p_destinations text[], p_lows bigint[], p_limit integer)
returns table (pending bigint, oldest double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
    return query
    select count(*), coalesce(extract(epoch from clock_timestamp() - min(p.created_at)), 0)::double precision
    from (
        select found.created_at
        from (
            select * from unnest(p_destinations, p_lows)
            union all
            select u.name, 0 from outbox.unknown_destinations(p_destinations) as u
        ) as d (name, low)
        cross join lateral (
            select e.created_at
            from outbox.events e
            where e.destination = d.name and e.sent_at is null and e.id > d.low
            order by e.destination, e.id
            limit p_limit
        ) as found
        limit p_limit
    ) as p;
end
$$;

select outbox.grant_function('read_backlog', '{outbox_relay}');
