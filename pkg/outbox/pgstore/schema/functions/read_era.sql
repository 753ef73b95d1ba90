-- Returns the era of the row ids and the highest id that was given, for a relay that is about to read.
create or replace function outbox.read_era(out era bigint, out last_id bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    era := outbox.current_era();
    last_id := outbox.last_id();
end
$$;

select outbox.grant_function('read_era', '{outbox_relay}');
