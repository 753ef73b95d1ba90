-- Returns the highest id that the sequence of outbox.events has given, 0 before the first. It also counts ids of transactions
-- that are open or were rolled back.
create or replace function outbox.last_id() returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select case when s.is_called then s.last_value else s.last_value - 1 end from outbox.events_id_seq s);
end
$$;

select outbox.grant_function('last_id');
