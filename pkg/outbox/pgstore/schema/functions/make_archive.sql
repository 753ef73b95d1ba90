-- Makes the partition of the archive with that number, to which move_sent moves rows one by one, unless it is there. It
-- raises an error when outbox.archive_default has rows of its ids.
create or replace function outbox.make_archive(p_number bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    size    constant bigint := outbox.partition_size();
    resting constant text := outbox.partition_name('archive', p_number);
begin
    if to_regclass(format('outbox.%I', resting)) is not null then
        return;
    end if;
    execute format('create table outbox.%I (like outbox.archive including generated including storage including compression,'
                   ' constraint ids_of_this_partition check (id >= %s and id < %s))',
        resting, p_number * size, (p_number + 1) * size);
    execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
        resting, p_number * size, (p_number + 1) * size);
end
$$;

select outbox.grant_function('make_archive');
