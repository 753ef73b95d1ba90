-- Returns all rows of an event, the highest id first, and its history, the oldest first: two JSON arrays, with the keys
-- of Go's pgadmin.Location and pgadmin.Redrive.
create or replace function outbox.lookup(p_event_id uuid) returns table (rows json, redrives json)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(json_agg(l.found order by l.id desc), '[]'), (
        select coalesce(json_agg(json_strip_nulls(json_build_object(
            'redriven_at', h.redriven_at, 'source', h.source, 'request_id', h.request_id, 'row_id', h.row_id,
            'copy_id', h.copy_id, 'generation', h.generation, 'destination', h.destination, 'attempts', h.attempts,
            'code', h.code, 'reason', h.reason)) order by h.redrive_id), '[]')
        from outbox.redrives h
        where h.event_id = p_event_id)
    from (
        select e.id, json_strip_nulls(json_build_object(
            'state', case when e.sent_at is not null then 'sent' when b.first_id is not null then 'blocked' else 'pending' end,
            'id', e.id, 'event_id', e.event_id, 'destination', e.destination, 'aggregate_type', e.aggregate_type,
            'aggregate_id', e.aggregate_id, 'event_type', e.event_type, 'shard', e.shard, 'replays', e.replays, 'replay_of', e.replay_of,
            'created_at', e.created_at, 'sent_at', e.sent_at, 'message_id', e.message_id,
            'sequence_number', e.sequence_number, 'owner', r.name,
            'blocked_by', b.event_id, 'block_reason', b.reason, 'released_at', b.released_at)) as found
        from outbox.events e
        left join outbox.shards s on s.shard = e.shard and e.sent_at is null
        left join outbox.relays r on r.relay_id = s.owner
        left join outbox.blocked b
            on e.sent_at is null
            and (b.destination, b.aggregate_type, b.aggregate_id) = (e.destination, e.aggregate_type, e.aggregate_id)
        where e.event_id = p_event_id
        union all
        select d.id, json_strip_nulls(json_build_object(
            'state', 'dead',
            'id', d.id, 'event_id', d.event_id, 'destination', d.destination, 'aggregate_type', d.aggregate_type,
            'aggregate_id', d.aggregate_id, 'event_type', d.event_type, 'shard', d.shard, 'replays', d.replays, 'replay_of', d.replay_of,
            'created_at', d.created_at, 'dead_at', d.dead_at, 'attempts', d.attempts, 'code', d.code, 'reason', d.reason))
        from outbox.dead_letters d
        where d.event_id = p_event_id
        union all
        select a.id, json_strip_nulls(json_build_object(
            'state', 'archived',
            'id', a.id, 'event_id', a.event_id, 'destination', a.destination, 'aggregate_type', a.aggregate_type,
            'aggregate_id', a.aggregate_id, 'event_type', a.event_type, 'shard', a.shard, 'replays', a.replays, 'replay_of', a.replay_of,
            'created_at', a.created_at, 'sent_at', a.sent_at, 'message_id', a.message_id,
            'sequence_number', a.sequence_number))
        from outbox.archive a
        where a.event_id = p_event_id
        union all
        select x.id, json_strip_nulls(json_build_object(
            'state', 'deleted',
            'id', x.id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
            'aggregate_id', x.aggregate_id, 'event_type', x.event_type, 'shard', x.shard, 'replays', x.replays, 'replay_of', x.replay_of,
            'created_at', x.created_at, 'dead_at', x.dead_at, 'attempts', x.attempts, 'code', x.code, 'reason', x.reason,
            'deleted_at', x.deleted_at))
        from outbox.deleted_dead_letters x
        where x.event_id = p_event_id
    ) as l
$$;

select outbox.grant_function('lookup', '{outbox_relay, outbox_redrive, outbox_janitor}');
