-- Returns the number of the partition in use: that of the id that was drawn last.
create or replace function outbox.current_partition() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select s.last_value / outbox.partition_size() from outbox.events_id_seq s);
end
$$;

select outbox.grant_function('current_partition');
