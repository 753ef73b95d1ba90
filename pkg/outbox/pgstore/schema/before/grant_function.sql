-- Takes the right to execute a function of the schema from public and grants it to
-- the roles, of which some may not exist. It records the roles in
-- outbox.functions, from where outbox.grant_roles() grants the right to those that
-- are made later, and takes the right from roles that were recorded before and are
-- not among p_roles. Every file of a function ends with a call of it.
--
-- p_roles are the names that the roles have with the prefix outbox; in the database
-- they begin with outbox.settings.role_prefix instead.
create or replace function outbox.grant_function(p_function text, p_roles text[] default '{}') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    prefix constant text := (select s.role_prefix from outbox.settings s);
    known  text[] := coalesce((select f.roles from outbox.functions f where f.name = p_function), '{}');
    given  record;
begin
    insert into outbox.functions as f (name, roles) values (p_function, p_roles)
    on conflict (name) do update set roles = excluded.roles;
    execute format('revoke all on function outbox.%I from public', p_function);
    for given in
        select r.rolname, n.name = any (p_roles) as wanted
        from unnest(known || p_roles) as n (name)
        join pg_roles r on r.rolname = prefix || substr(n.name, length('outbox') + 1)
    loop
        if given.wanted then
            execute format('grant execute on function outbox.%I to %I', p_function, given.rolname);
        else
            execute format('revoke execute on function outbox.%I from %I', p_function, given.rolname);
        end if;
    end loop;
end
$$;

select outbox.grant_function('grant_function');
