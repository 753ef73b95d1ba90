-- Returns a hash of all columns of a row of the archive but shard, which is computed from others. The sum over the rows
-- of a file is recorded with the file, and proves later which rows were exported. Its body is resolved when it is created, so that it needs no
-- search_path.
create or replace function outbox.digest(a outbox.archive) returns bigint
language sql immutable parallel safe
return hashtextextended(concat_ws(chr(31),
    a.id::text, extract(epoch from a.created_at)::text, extract(epoch from a.sent_at)::text, a.event_id::text, a.replays::text,
    a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.payload::text,
    coalesce(a.replay_of::text, chr(30)), coalesce(a.headers::text, chr(30)), coalesce(a.message_id, chr(30)), coalesce(a.sequence_number, chr(30))), 0);

select outbox.grant_function('digest', '{outbox_janitor}');
