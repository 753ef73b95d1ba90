-- Returns the login, and the tables of the outbox of which row level security hides rows, from the login or from the
-- owner of the tables.
create or replace function outbox.check_row_security() returns table (login text, tables text[])
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select current_user::text, coalesce(array_agg(format('outbox.%I', c.relname) order by c.relname), '{}')
    from pg_class c
    where c.relnamespace = 'outbox'::regnamespace and c.relrowsecurity
      and (c.relforcerowsecurity or row_security_active(c.oid))
$$;

select outbox.grant_function('check_row_security', '{outbox_relay, outbox_redrive, outbox_janitor}');
