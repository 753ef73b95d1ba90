-- Returns the era of the row ids and the highest id that was given, and stores the era. It begins a new era, and begun is
-- true, when ids have come again although the timeline of the server is the same: after truncate with restart identity,
-- after setval, or where the server tells no timeline. That is so when a relay that knows the era says it (p_recurred), or
-- when a position, p_low of that relay or a stored one, is above the highest id. Then each stored position above the first
-- unsent row becomes that row's, and the ids just below it a gap, for rows that are not committed yet.
--
-- p_known is the era that the relay knows, null when it knows none. The caller has called lock_leases.
create or replace function outbox.begin_era(
    p_known bigint, p_low bigint, p_recurred boolean, out era bigint, out last_id bigint, out begun boolean
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    first bigint;
    below int8multirange;
    here  oid := (select d.oid from pg_database d where d.datname = current_database());
    line  bigint := outbox.timeline();
begin
    era := outbox.current_era();
    last_id := outbox.last_id();
    begun := coalesce(p_known = era and (p_recurred or p_low > last_id), false)
        or exists (select from outbox.shards s where s.low > begin_era.last_id)
        or exists (select from outbox.relays r where r.low > begin_era.last_id);
    if begun then
        era := era + 1;
        first := least(last_id, (select min(e.id) - 1 from outbox.events e where e.sent_at is null));
        below := case when first > 0 then int8multirange(int8range(greatest(1, first - 999), first, '[]')) else '{}' end;
        update outbox.shards s set low = first, gaps = below, destinations = '{}', lows = '{}' where s.low > first;
        update outbox.relays r set low = first, gaps = below, destinations = '{}', lows = '{}' where r.low > first;
    end if;
    update outbox.era e
    set era = begin_era.era, timeline = coalesce(line, e.timeline), database = here
    where e.era <> begin_era.era or e.timeline <> coalesce(line, e.timeline) or e.database <> here;
end
$$;

select outbox.grant_function('begin_era');
