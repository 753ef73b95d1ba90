-- Stores the present time in outbox.janitor as the end of the last run of the janitor.
create or replace function outbox.end_janitor() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    update outbox.janitor set ended_at = clock_timestamp();
$$;

select outbox.grant_function('end_janitor', '{outbox_janitor}');
