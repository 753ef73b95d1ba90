-- Makes the four roles where the caller may, and grants them what they need on the
-- tables and functions of the schema. outbox migrate calls it; call it again after
-- making a role by hand that it could not make.
create or replace function outbox.grant_roles() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text;
    f      outbox.functions;
begin
    foreach wanted in array array['outbox_writer', 'outbox_relay', 'outbox_redrive', 'outbox_janitor'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then
                    null; -- a migration of another database of the cluster was faster
                when insufficient_privilege then
                    raise notice 'role % is missing and % may not create it; as an administrator run: create role % nologin; then as the owner of the schema: select outbox.grant_roles()',
                        wanted, current_user, wanted;
                    continue;
            end;
        end if;
        execute format('grant usage on schema outbox to %I', wanted);
        case wanted
            when 'outbox_writer' then
                grant insert (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
                    on outbox.events to outbox_writer;
            when 'outbox_relay' then
                grant select, delete, update (sent_at, message_id, sequence_number) on outbox.events to outbox_relay;
                grant select, insert, update, delete on outbox.dead_letters, outbox.blocked, outbox.relays to outbox_relay;
                grant select, update on outbox.shards to outbox_relay;
                grant select on outbox.archive, outbox.deleted_dead_letters, outbox.redrives, outbox.janitor, outbox.migrations,
                    outbox.functions, outbox.events_id_seq to outbox_relay;
            when 'outbox_redrive' then
                grant select on outbox.events, outbox.archive, outbox.dead_letters, outbox.deleted_dead_letters, outbox.blocked,
                    outbox.redrives, outbox.dlq_redrives, outbox.replays, outbox.replay_events, outbox.relays, outbox.shards, outbox.migrations, outbox.functions,
                    outbox.events_id_seq to outbox_redrive;
            when 'outbox_janitor' then
                grant select on outbox.events, outbox.archive, outbox.dead_letters, outbox.blocked, outbox.relays, outbox.shards,
                    outbox.janitor, outbox.exports, outbox.migrations, outbox.functions, outbox.events_id_seq to outbox_janitor;
        end case;
    end loop;
    for f in select * from outbox.functions loop
        perform outbox.grant_function(f.name, f.roles);
    end loop;
end
$$;

select outbox.grant_function('grant_roles');
