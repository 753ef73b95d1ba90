-- Writes an event and answers its event id: the contract for writers in any
-- language.
create or replace function outbox.enqueue(
    aggregate_type text,
    aggregate_id   text,
    event_type     text,
    payload        json,
    destination    text default 'default',
    headers        json default null,
    event_id       uuid default null
) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    assigned uuid := coalesce(enqueue.event_id, outbox.uuidv7());
begin
    insert into outbox.events (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
    values (
        assigned, enqueue.aggregate_type, enqueue.aggregate_id, enqueue.event_type,
        coalesce(enqueue.destination, 'default'), enqueue.payload, enqueue.headers);
    return assigned;
end
$$;

select outbox.grant_function('enqueue', '{outbox_writer}');
