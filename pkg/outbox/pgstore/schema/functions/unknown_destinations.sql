-- Returns the destinations of unsent rows that are not among p_known, at most 100, with the lowest id of the unsent rows of
-- each and their number, at most 1,000. It looks at the index of unsent rows between the known names only: while a
-- transaction holds back vacuum, that of a known one may have many entries of rows that were sent since.
create or replace function outbox.unknown_destinations(p_known text[])
returns table (name text, first_id bigint, events bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    known text[] := array(select k.name from unnest(p_known) as k (name) order by k.name);
    found integer := 0;
    below text;
begin
    name := ''; -- no destination has an empty name
    for i in 1 .. cardinality(known) + 1 loop
        below := known[i];
        while found < 100 loop
            if below is null then
                select e.destination, e.id into name, first_id from outbox.events e
                where e.sent_at is null and e.destination > name
                order by e.destination, e.id limit 1;
            else
                select e.destination, e.id into name, first_id from outbox.events e
                where e.sent_at is null and e.destination > name and e.destination < below
                order by e.destination, e.id limit 1;
            end if;
            exit when name is null;
            select count(*) into events from (
                select from outbox.events e where e.sent_at is null and e.destination = name limit 1000) as c;
            found := found + 1;
            return next;
        end loop;
        name := below;
    end loop;
end
$$;

select outbox.grant_function('unknown_destinations', '{outbox_relay}');
