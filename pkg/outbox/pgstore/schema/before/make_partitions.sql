-- Makes the partition that the next id falls into and the next ones above it, as
-- many as ahead says, and answers how many it made. It is for the owner of the schema: a janitor makes one at a time.
create or replace function outbox.make_partitions(ahead integer) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    made   integer := 0;
    number bigint;
begin
    if ahead not between 0 and 1000 then
        raise exception 'make_partitions: ahead must be 0 to 1000, is %', ahead;
    end if;
    for number in
        select generate_series(outbox.current_partition(), outbox.current_partition() + ahead)
    loop
        made := made + outbox.make_partition(number)::integer;
    end loop;
    return made;
end
$$;

select outbox.grant_function('make_partitions');
