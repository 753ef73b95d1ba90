-- Makes the four roles where the caller may, and gives each exactly what it needs: the right to execute functions of the
-- schema, and few rights on tables. outbox migrate calls it; call it again after making a role by hand that it could not
-- make. The names of the roles begin with outbox.settings.role_prefix.
create or replace function outbox.grant_roles() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    prefix constant text := (select s.role_prefix from outbox.settings s);
    kind   text;
    role   text;
    f      outbox.functions;
begin
    foreach kind in array array['writer', 'relay', 'redrive', 'janitor'] loop
        role := prefix || '_' || kind;
        if not exists (select from pg_roles where rolname = role) then
            begin
                execute format('create role %I nologin', role);
            exception
                when duplicate_object or unique_violation then
                    null; -- a migration of another database of the cluster was faster
                when insufficient_privilege then
                    raise notice 'role % is missing and % may not create it; as an administrator run: create role % nologin; then as the owner of the schema: select outbox.grant_roles()',
                        role, current_user, role;
                    continue;
            end;
        end if;
        execute format('grant usage on schema outbox to %I', role);
        execute format('revoke all on all tables in schema outbox from %I', role);
        case kind
            when 'writer' then
                execute format('grant insert (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)'
                               ' on outbox.events to %I', role);
            when 'janitor' then
                execute format('grant select on outbox.archive, outbox.exports to %I', role);
            when 'relay', 'redrive' then
                null; -- functions alone
        end case;
    end loop;
    for f in select * from outbox.functions loop
        perform outbox.grant_function(f.name, f.roles);
    end loop;
end
$$;

select outbox.grant_function('grant_roles');
