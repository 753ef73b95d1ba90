-- Deletes the records of the files of a partition whose rows are still in the archive, so that the rows are exported
-- again. The files themselves stay where they are.
create or replace function outbox.forget_exports(p_number bigint) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from outbox.exports x where x.number = p_number and x.removed_at is null;
$$;

select outbox.grant_function('forget_exports', '{outbox_janitor}');
