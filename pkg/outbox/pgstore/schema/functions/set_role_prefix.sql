-- Gives the four roles of this database another prefix: it takes all rights on the schema from those with the present
-- prefix, makes those with the new one where the caller may, and grants them what they need. outbox migrate
-- --role-prefix calls it.
create or replace function outbox.set_role_prefix(p_prefix text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    former text;
begin
    if p_prefix !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'the prefix of roles must be a letter and up to 39 letters, digits or underscores, all lower case, is %', p_prefix;
    end if;
    for former in
        select r.rolname
        from outbox.settings s
        cross join unnest(array['writer', 'relay', 'redrive', 'janitor']) as w (name)
        join pg_roles r on r.rolname = s.role_prefix || '_' || w.name
        where s.role_prefix <> p_prefix
    loop
        execute format('revoke all on schema outbox from %I', former);
        execute format('revoke all on all tables in schema outbox from %I', former);
        execute format('revoke all on all sequences in schema outbox from %I', former);
        execute format('revoke all on all functions in schema outbox from %I', former);
    end loop;
    update outbox.settings set role_prefix = p_prefix;
    perform outbox.grant_roles();
end
$$;

select outbox.grant_function('set_role_prefix');
