-- A UUID of version 7: 48 bits of milliseconds, the rest random. PostgreSQL has a
-- function for it from version 18 on. The column event_id of outbox.events has it
-- as its default, so that it is there before the table, and has no search_path of
-- its own: its body is resolved when it is created, and without settings the
-- server expands it in place.
create or replace function outbox.uuidv7() returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
            from 1 for 6),
        52, 1), 53, 1),
    'hex')::uuid;

select outbox.grant_function('uuidv7', '{outbox_writer}');
