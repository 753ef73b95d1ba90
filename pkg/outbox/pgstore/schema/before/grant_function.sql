-- Takes the right to execute a function of the schema from public and grants it to
-- the roles, of which some may not exist. It records the roles in
-- outbox.functions, from where outbox.grant_roles() grants the right to those that
-- are made later, and takes the right from roles that were recorded before and are
-- not among p_roles. Every file of a function ends with a call of it.
create or replace function outbox.grant_function(p_function text, p_roles text[] default '{}') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := coalesce((select f.roles from outbox.functions f where f.name = p_function), '{}');
    given text;
begin
    insert into outbox.functions as f (name, roles) values (p_function, p_roles)
    on conflict (name) do update set roles = excluded.roles;
    execute format('revoke all on function outbox.%I from public', p_function);
    for given in
        select r.rolname from pg_roles r where r.rolname = any (known || p_roles)
    loop
        if given = any (p_roles) then
            execute format('grant execute on function outbox.%I to %I', p_function, given);
        else
            execute format('revoke execute on function outbox.%I from %I', p_function, given);
        end if;
    end loop;
end
$$;

select outbox.grant_function('grant_function');
