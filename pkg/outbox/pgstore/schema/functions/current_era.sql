-- Returns the era of the row ids. An id names one event within an era. The era is the stored one as long as the timeline of
-- the server and the database are those that it was stored with. Else ids may have come again: a standby that lacked the last
-- commits was promoted, or a backup was restored. Then it is a new era, at least ten times the timeline: an era that was
-- begun in commits that a failover lost is not begun a second time.
create or replace function outbox.current_era() returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    stored   outbox.era;
    timeline constant bigint := outbox.timeline();
begin
    select e.* into stored from outbox.era e;
    if stored.timeline = coalesce(timeline, stored.timeline)
        and stored.database = (select d.oid from pg_database d where d.datname = current_database()) then
        return stored.era;
    end if;
    return greatest(stored.era + 1, 10 * timeline);
end
$$;

select outbox.grant_function('current_era');
