-- +goose Up

-- The statements that a relay runs all the time are functions, because the
-- server keeps the plans of a function with the session, whatever pooler is in
-- front. Sent as statements without a name they are planned each time, which
-- took longer than running them for the 70 events of a fetch at 10,000 a second.
-- The settings leave one plan only, which is good for an empty table as for a
-- large one: partitions that hold none of the ids are passed over when it runs.

-- A plan that is made without knowing the limit looks dear, and so does one from
-- which something was taken away: either would be compiled to machine code, each
-- time, for longer than it runs.
-- +goose StatementBegin
do $$
declare
    planned regprocedure;
begin
    for planned in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'outbox'::regnamespace and array_to_string(p.proconfig, ' ') like '%enable_seqscan=off%'
    loop
        execute format('alter function %s set jit = off', planned);
    end loop;
end
$$;
-- +goose StatementEnd

-- The rows above an id in the order of their ids, at most so many, of whatever
-- shard and state: where one is missing there is a gap. Those that the relay may
-- send come with what it needs, the others with their id alone.
-- +goose StatementBegin
create function outbox.read_new(p_after bigint, p_shards smallint[], p_limit integer)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json
)
language plpgsql stable
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
begin
    return query
    select r.id,
           case when r.mine then r.created_at end,
           case when r.mine then r.event_id end,
           case when r.mine then r.replays end,
           case when r.mine then r.replay_of end,
           case when r.mine then r.shard end,
           case when r.mine then r.aggregate_type end,
           case when r.mine then r.aggregate_id end,
           case when r.mine then r.event_type end,
           case when r.mine then r.destination end,
           case when r.mine then r.payload end,
           case when r.mine then r.headers end
    from (
        select e.*,
               e.sent_at is null
               and e.shard = any (p_shards)
               and not exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id
               ) as mine
        from outbox.events e
        where e.id > p_after
        order by e.id
        limit p_limit
    ) as r
    order by r.id;
end
$$;
-- +goose StatementEnd

-- The unsent rows with ids from p_from to below p_before, of the shards, not on
-- hold. The range is what bounds the reading: while nothing can be vacuumed, the
-- index still has an entry for every row that was sent, and each is looked at.
-- place is there for the form of read_left.
-- +goose StatementBegin
create function outbox.read_unsent(p_from bigint, p_before bigint, p_shards smallint[], p_limit integer)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json,
    place bigint
)
language plpgsql stable
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
begin
    return query
    select e.id, e.created_at, e.event_id, e.replays, e.replay_of, e.shard,
           e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload, e.headers, 0::bigint
    from outbox.events e
    where e.sent_at is null
      and e.id >= p_from
      and e.id < p_before
      and e.shard = any (p_shards)
      and not exists (
          select from outbox.blocked b
          where b.destination = e.destination
            and b.aggregate_type = e.aggregate_type
            and b.aggregate_id = e.aggregate_id
      )
    order by e.id
    limit p_limit;
end
$$;
-- +goose StatementEnd

-- Marks the events as sent by the relay and answers how many it marked, or null
-- when the relay was taken over. The lock on the relay's row waits for a takeover
-- that is deleting it, and holds up none of its renewals. The ids come sorted, and
-- the rows are written in the order of an index, so that two settlements of the
-- same events do not wait for each other in a circle.
-- +goose StatementBegin
create function outbox.settle(p_relay uuid, p_ids bigint[], p_message_ids text[], p_sequence_numbers text[])
returns integer
language plpgsql volatile
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    marked integer;
begin
    perform from outbox.relays r where r.relay_id = p_relay for key share;
    if not found then
        return null;
    end if;
    update outbox.events e
    set sent_at = clock_timestamp(), message_id = s.message_id, sequence_number = nullif(s.sequence_number, '')
    from unnest(p_ids, p_message_ids, p_sequence_numbers) as s (id, message_id, sequence_number)
    where e.id = s.id
      and e.sent_at is null
      -- What the index is searched for, and which partitions are.
      and e.id = any (p_ids)
      and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    get diagnostics marked = row_count;
    return marked;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function outbox.grant_to_relay() returns void
language plpgsql volatile
as $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_relay') then
        grant execute on function
            outbox.read_new(bigint, smallint[], integer),
            outbox.read_unsent(bigint, bigint, smallint[], integer),
            outbox.settle(uuid, bigint[], text[], text[])
            to outbox_relay;
    end if;
end
$$;
-- +goose StatementEnd

revoke all on function
    outbox.read_new(bigint, smallint[], integer),
    outbox.read_unsent(bigint, bigint, smallint[], integer),
    outbox.settle(uuid, bigint[], text[], text[]),
    outbox.grant_to_relay()
    from public;

select outbox.grant_to_relay();
