-- +goose Up
-- +goose StatementBegin
do $$
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'the outbox needs PostgreSQL 15 or later, this is %', current_setting('server_version');
    end if;
    -- The character checks name code points of Unicode.
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'the outbox needs a database in the encoding UTF8, this one is %', getdatabaseencoding();
    end if;
end
$$;
-- +goose StatementEnd

create schema if not exists outbox;

-- A UUID of version 7: 48 bits of milliseconds, the rest random. PostgreSQL
-- has one of its own only from version 18 on.
create function outbox.uuidv7() returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
            from 1 for 6),
        52, 1), 53, 1),
    'hex')::uuid;

-- Columns of fixed width come first, widest first, so that no row is padded.
-- The shard hashes type and id one after the other: the first hash seeds the
-- second, so no separator can be forged. replay_of is the id of the row that a
-- replay copied.
create table outbox.events (
    id              bigint generated always as identity,
    created_at      timestamptz not null default clock_timestamp(),
    sent_at         timestamptz,
    replay_of       bigint,
    event_id        uuid not null default outbox.uuidv7(),
    replays         integer not null default 0,
    shard           smallint not null generated always as
                        ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) & 63)::smallint) stored,
    aggregate_type  text not null,
    aggregate_id    text not null,
    event_type      text not null,
    destination     text not null default 'default',
    payload         json not null,
    headers         json,
    message_id      text,
    sequence_number text,

    constraint events_pkey primary key (id),

    -- An update evaluates every constraint again. Those on what no update changes
    -- pass over rows that are sent, which takes a quarter off the marking.
    constraint aggregate_type_has_1_to_256_characters check (sent_at is not null or char_length(aggregate_type) between 1 and 256),
    constraint aggregate_id_has_1_to_1024_characters  check (sent_at is not null or char_length(aggregate_id) between 1 and 1024),
    constraint event_type_has_1_to_256_characters     check (sent_at is not null or char_length(event_type) between 1 and 256),
    constraint destination_has_1_to_256_characters    check (sent_at is not null or char_length(destination) between 1 and 256),
    -- Together they are a key of outbox.blocked, and an index takes 2,704 bytes.
    constraint lane_has_at_most_2600_bytes
        check (sent_at is not null or octet_length(destination) + octet_length(aggregate_type) + octet_length(aggregate_id) <= 2600),

    -- SQS and SNS take #x9 #xA #xD, #x20-#xD7FF, #xE000-#xFFFD and
    -- #x10000-#x10FFFF. PostgreSQL stores neither NUL nor surrogates.
    constraint aggregate_type_has_only_characters_that_sqs_takes
        check (sent_at is not null or aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'),
    constraint aggregate_id_has_only_characters_that_sqs_takes
        check (sent_at is not null or aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'),
    constraint event_type_has_only_characters_that_sqs_takes
        check (sent_at is not null or event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'),
    constraint destination_has_only_characters_that_sqs_takes
        check (sent_at is not null or destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'),
    -- JSON text holds no raw control characters, so two code points are left.
    constraint payload_has_only_characters_that_sqs_takes
        check (sent_at is not null or strpos(payload::text, U&'\FFFE') = 0 and strpos(payload::text, U&'\FFFF') = 0),
    constraint headers_have_only_characters_that_sqs_takes
        check (sent_at is not null or strpos(headers::text, U&'\FFFE') = 0 and strpos(headers::text, U&'\FFFF') = 0),

    -- A message may have 1,048,576 bytes, attributes and envelope included.
    constraint payload_is_at_most_1_mib_less_32_kib check (sent_at is not null or octet_length(payload::text) <= 1015808),
    constraint headers_are_at_most_8_kib check (sent_at is not null or octet_length(headers::text) <= 8192),
    constraint headers_are_a_json_object check (sent_at is not null or json_typeof(headers) = 'object'),

    constraint replays_are_not_negative check (replays >= 0),
    constraint sent_events_have_a_message_id check ((sent_at is null) = (message_id is null))
) partition by range (id);

create index events_unsent_idx on outbox.events (id) where sent_at is null;
create index events_event_id_idx on outbox.events (event_id);

-- The net under partitions that were not made in time.
create table outbox.events_default partition of outbox.events default
with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 1000000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 2000000
);

-- The sent events of partitions that are closed. sent_at is not null here, so
-- that the database itself refuses to archive what was not sent. Whoever
-- attaches a partition sets the column to not null first.
create table outbox.archive (
    id              bigint not null,
    created_at      timestamptz not null,
    sent_at         timestamptz not null,
    replay_of       bigint,
    event_id        uuid not null,
    replays         integer not null,
    shard           smallint not null generated always as
                        ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) & 63)::smallint) stored,
    aggregate_type  text not null,
    aggregate_id    text not null,
    event_type      text not null,
    destination     text not null,
    payload         json not null,
    headers         json,
    message_id      text,
    sequence_number text,
    constraint archive_pkey primary key (id)
) partition by range (id);

create index archive_event_id_idx on outbox.archive (event_id);

create table outbox.archive_default partition of outbox.archive default;

-- Events that cannot be published as they are. An event is here or in
-- outbox.events, never in both.
create table outbox.dead_letters (
    id             bigint not null,
    created_at     timestamptz not null,
    dead_at        timestamptz not null default clock_timestamp(),
    replay_of      bigint,
    event_id       uuid not null,
    replays        integer not null,
    attempts       integer not null,
    shard          smallint not null,
    aggregate_type text not null,
    aggregate_id   text not null,
    event_type     text not null,
    destination    text not null,
    payload        json not null,
    headers        json,
    code           text not null,
    reason         text not null,
    constraint dead_letters_pkey primary key (id)
);

create index dead_letters_event_id_idx on outbox.dead_letters (event_id);

-- Lanes on hold. With released_at the hold is over, and the holder of the
-- shard reads the lane again from first_id on.
create table outbox.blocked (
    first_id       bigint not null,
    blocked_at     timestamptz not null default clock_timestamp(),
    released_at    timestamptz,
    event_id       uuid not null,
    shard          smallint not null,
    destination    text not null,
    aggregate_type text not null,
    aggregate_id   text not null,
    reason         text not null,
    constraint blocked_pkey primary key (destination, aggregate_type, aggregate_id)
);

create index blocked_released_idx on outbox.blocked (shard) where released_at is not null;

-- One row for each relay that lives, written once a renewal. low and gaps say
-- where its shards that are covered would resume.
create table outbox.relays (
    started_at  timestamptz not null,
    run_until   timestamptz not null,
    lease_until timestamptz not null,
    low         bigint not null default 0,
    relay_id    uuid not null,
    leaving     boolean not null default false,
    gaps        int8multirange not null default '{}',
    name        text not null,
    constraint relays_pkey primary key (relay_id)
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Written only when a shard changes hands. covered says that the owner knows
-- that it holds the shard, so that its own position counts for it; until then
-- low and gaps of this row do.
create table outbox.shards (
    epoch       bigint not null default 0,
    low         bigint not null default 0,
    acquired_at timestamptz,
    owner       uuid,
    shard       smallint not null,
    covered     boolean not null default false,
    gaps        int8multirange not null default '{}',
    constraint shards_pkey primary key (shard),
    constraint shard_is_0_to_63 check (shard between 0 and 63)
) with (fillfactor = 50);

insert into outbox.shards (shard) select generate_series(0, 63);

-- The contract for writers in any language. It returns the event id.
-- +goose StatementBegin
create function outbox.enqueue(
    aggregate_type text,
    aggregate_id   text,
    event_type     text,
    payload        json,
    destination    text default 'default',
    headers        json default null,
    event_id       uuid default null
) returns uuid
language plpgsql volatile
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
-- +goose StatementEnd

-- Makes writers of one aggregate wait for each other until the end of their
-- transactions, so that the order of id is the order of commit.
-- +goose StatementBegin
create function outbox.lock_aggregate(aggregate_type text, aggregate_id text) returns void
language sql volatile
begin atomic
    select pg_advisory_xact_lock(hashtextextended(aggregate_id, hashtextextended(aggregate_type, 7)));
end;
-- +goose StatementEnd

-- The partition of a number holds the ids from number * 1,000,000 on, less than
-- the next one's. kind is events or archive.
-- +goose StatementBegin
create function outbox.partition_name(kind text, number bigint) returns text
language sql immutable
return kind || '_p' || lpad(number::text, greatest(6, length(number::text)), '0');
-- +goose StatementEnd

-- Makes a partition and answers whether it did. A range of which the default
-- partition already holds rows is left to it.
-- +goose StatementBegin
create function outbox.make_partition(number bigint) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
declare
    size   constant bigint := 1000000;
    child  text := outbox.partition_name('events', number);
    newest bigint;
    strays boolean;
begin
    perform pg_advisory_xact_lock(1869968504, 2);
    select s.last_value / size into newest from outbox.events_id_seq s;
    if number not between newest and newest + 1000 then
        raise exception 'make_partition: number must be % to %, is %', newest, newest + 1000, number;
    end if;
    if to_regclass(format('outbox.%I', child)) is not null then
        return false;
    end if;
    select exists (
        select from outbox.events_default d
        where d.id >= number * size and d.id < (number + 1) * size) into strays;
    if strays then
        raise notice 'outbox.events_default holds ids from % on, so that % cannot be made', number * size, child;
        return false;
    end if;
    -- Made aside and attached: that holds no lock that writers wait for,
    -- as CREATE TABLE ... PARTITION OF would. The check on the ids lets the
    -- partition move to the archive without being read.
    execute format(
        'create table outbox.%I (like outbox.events including defaults including generated including constraints'
        ' including storage including compression,'
        ' constraint ids_of_this_partition check (id >= %s and id < %s)) with ('
        'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0, '
        'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000, '
        'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000000)',
        child, number * size, (number + 1) * size);
    execute format(
        'alter table outbox.events attach partition outbox.%I for values from (%s) to (%s)',
        child, number * size, (number + 1) * size);
    return true;
end
$$;
-- +goose StatementEnd

-- Makes the partition that the next id falls into and as many more as ahead
-- says, and returns how many it made.
-- +goose StatementBegin
create function outbox.make_partitions(ahead integer) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    made   integer := 0;
    number bigint;
begin
    if ahead not between 0 and 1000 then
        raise exception 'make_partitions: ahead must be 0 to 1000, is %', ahead;
    end if;
    for number in
        select generate_series(s.last_value / 1000000, s.last_value / 1000000 + ahead) from outbox.events_id_seq s
    loop
        made := made + outbox.make_partition(number)::integer;
    end loop;
    return made;
end
$$;
-- +goose StatementEnd

select outbox.make_partitions(3);

-- Ranges of ids, both ends included.
create function outbox.ranges(p_from bigint[], p_to bigint[]) returns int8multirange
language sql immutable
return (select coalesce(range_agg(int8range(g.a, g.b, '[]')), '{}') from unnest(p_from, p_to) as g (a, b));

-- Join, renew and leave are serialised by one advisory lock of the
-- transaction. Under it they lock rows of relays, then of shards, then of
-- blocked. A settlement locks its relay's row, then rows of events, and never
-- takes the advisory lock, so no two of them wait for each other in a circle.

-- +goose StatementBegin
create function outbox.join_relay(
    p_relay uuid, p_name text, p_ttl interval, p_run_for interval, p_window interval, p_relays integer
) returns boolean
language plpgsql volatile
as $$
declare
    at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the relay needs the isolation level read committed, the session has %',
            current_setting('transaction_isolation')
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'alter role <the relay''s login> set default_transaction_isolation = ''read committed''';
    end if;
    perform pg_advisory_xact_lock(1869968504, 1);
    at := clock_timestamp();
    if (select count(*) from outbox.relays r
        where r.relay_id <> p_relay and not r.leaving
          and r.lease_until > at and r.run_until > at + p_window) >= p_relays then
        return false;
    end if;
    -- Asked again after an answer that got lost, it answers the same.
    insert into outbox.relays (relay_id, name, started_at, run_until, lease_until)
    values (p_relay, p_name, at, at + p_run_for, at + p_ttl)
    on conflict (relay_id) do update set lease_until = excluded.lease_until;
    return true;
end
$$;
-- +goose StatementEnd

-- It answers null when the lease is lost. p_known_shards and p_known_epochs
-- are the leases that the relay has had an answer about: only for those does
-- its position count, because it may not have heard of the others. A position
-- of nothing is that of a relay that has not read yet: then the last one stays.
-- +goose StatementBegin
create function outbox.renew_relay(
    p_relay        uuid,
    p_ttl          interval,
    p_relays       integer,
    p_leaving      boolean,
    p_known_shards smallint[],
    p_known_epochs bigint[],
    p_release      smallint[],
    p_low          bigint,
    p_gap_from     bigint[],
    p_gap_to       bigint[],
    p_destinations text[],
    p_types        text[],
    p_ids          text[],
    p_released     timestamptz[]
) returns json
language plpgsql volatile
as $$
declare
    at       timestamptz;
    mine     outbox.relays;
    placed   boolean := p_low <> 0 or cardinality(p_gap_from) > 0 or cardinality(p_ids) > 0;
    active   integer;
    rank     integer;
    held     integer;
    target   integer := 0;
begin
    perform pg_advisory_xact_lock(1869968504, 1);
    at := clock_timestamp();

    update outbox.relays r
    set lease_until = at + p_ttl,
        leaving = r.leaving or p_leaving,
        low = case when placed then p_low else r.low end,
        gaps = case when placed then outbox.ranges(p_gap_from, p_gap_to) else r.gaps end
    where r.relay_id = p_relay
    returning r.* into mine;
    if not found then
        return null;
    end if;

    update outbox.shards s
    set covered = true
    from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
    where placed and s.owner = p_relay and not s.covered and s.shard = k.shard and s.epoch = k.epoch;

    -- A relay whose row is locked is settling or renewing: it is left alone
    -- until the next time.
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < at and r.relay_id <> p_relay
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps
    )
    update outbox.shards s
    set owner = null,
        covered = false,
        low = case when s.covered then g.low else s.low end,
        gaps = case when s.covered then g.gaps else s.gaps end
    from gone g
    where s.owner = g.relay_id;

    if cardinality(p_release) > 0 then
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then mine.low else s.low end,
            gaps = case when s.covered then mine.gaps else s.gaps end
        from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
        where s.owner = p_relay and s.shard = k.shard and s.epoch = k.epoch and s.shard = any (p_release);
    end if;

    -- The youngest relays share the work, as many as p_relays says.
    select count(*), count(*) filter (where (r.started_at, r.relay_id) >= (me.started_at, me.relay_id))
    into active, rank
    from outbox.relays r, (select m.started_at, m.relay_id from outbox.relays m where m.relay_id = p_relay) as me
    where r.lease_until >= at and not r.leaving;
    if not mine.leaving and rank <= p_relays then
        target := ceil(64.0 / least(active, p_relays));
    end if;

    select count(*) into held from outbox.shards s where s.owner = p_relay;
    if held < target then
        with free as materialized (
            select s.shard from outbox.shards s
            where s.owner is null or not exists (select from outbox.relays r where r.relay_id = s.owner)
            order by s.shard
            limit target - held
            for update skip locked
        )
        update outbox.shards s
        set owner = p_relay, epoch = s.epoch + 1, covered = false, acquired_at = at
        from free f
        where s.shard = f.shard;
    end if;

    if cardinality(p_ids) > 0 then
        with resumed as materialized (
            select b.destination, b.aggregate_type, b.aggregate_id
            from outbox.blocked b
            join unnest(p_destinations, p_types, p_ids, p_released) as l (destination, aggregate_type, aggregate_id, released_at)
                on (l.destination, l.aggregate_type, l.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)
            join outbox.shards s on s.shard = b.shard and s.owner = p_relay
            where b.released_at = l.released_at
            order by b.destination, b.aggregate_type, b.aggregate_id
            for update of b skip locked
        )
        delete from outbox.blocked b
        using resumed r
        where (b.destination, b.aggregate_type, b.aggregate_id) = (r.destination, r.aggregate_type, r.aggregate_id);
    end if;

    return json_build_object(
        'now', at,
        'target', target,
        'shards', (
            select coalesce(json_agg(json_build_object(
                'shard', s.shard, 'epoch', s.epoch, 'low', s.low,
                'gaps', (
                    select coalesce(json_agg(json_build_array(lower(g), upper(g) - 1) order by g), '[]')
                    from unnest(s.gaps) as g)
            ) order by s.shard), '[]')
            from outbox.shards s where s.owner = p_relay),
        'released', (
            select coalesce(json_agg(json_build_object(
                'destination', l.destination, 'aggregate_type', l.aggregate_type, 'aggregate_id', l.aggregate_id,
                'shard', l.shard, 'first_id', l.first_id, 'released_at', l.released_at) order by l.first_id), '[]')
            from (
                -- A few for each destination, so that one that is not configured
                -- keeps no other waiting. Those that the relay has resumed and
                -- whose hold is still there come in any case.
                select b.*,
                       row_number() over (partition by b.destination order by b.first_id) as place,
                       (b.destination, b.aggregate_type, b.aggregate_id) in (
                           select r.destination, r.aggregate_type, r.aggregate_id
                           from unnest(p_destinations, p_types, p_ids) as r (destination, aggregate_type, aggregate_id)
                       ) as asked
                from outbox.blocked b
                join outbox.shards s on s.shard = b.shard and s.owner = p_relay
                where b.released_at is not null
            ) as l
            where l.place <= 100 or l.asked));
end
$$;
-- +goose StatementEnd

-- It answers whether there was a lease to leave.
-- +goose StatementBegin
create function outbox.leave_relay(
    p_relay        uuid,
    p_known_shards smallint[],
    p_known_epochs bigint[],
    p_low          bigint,
    p_gap_from     bigint[],
    p_gap_to       bigint[]
) returns boolean
language plpgsql volatile
as $$
declare
    last   outbox.relays;
    placed boolean := p_low <> 0 or cardinality(p_gap_from) > 0;
begin
    perform pg_advisory_xact_lock(1869968504, 1);
    delete from outbox.relays r where r.relay_id = p_relay returning r.* into last;
    if not found then
        return false;
    end if;
    if placed then
        last.low := p_low;
        last.gaps := outbox.ranges(p_gap_from, p_gap_to);
    end if;
    with held as (
        select s.shard,
               s.covered or placed and exists (
                   select from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
                   where k.shard = s.shard and k.epoch = s.epoch) as covered
        from outbox.shards s
        where s.owner = p_relay
    )
    update outbox.shards s
    set owner = null,
        covered = false,
        low = case when h.covered then last.low else s.low end,
        gaps = case when h.covered then last.gaps else s.gaps end
    from held h
    where s.shard = h.shard;
    return true;
end
$$;
-- +goose StatementEnd

-- What a fetch reads besides the scan is in functions, because they carry
-- settings for the planner: the order must come from an index, so that the
-- limits stop the reading, whatever the statistics say. After a large COPY
-- there are none, and a plan that sorts reads the whole backlog each time. As
-- settings of the session they would pin it behind RDS Proxy.

-- The rows in the gaps, of whatever shard and state, in the order of their ids,
-- with what the relay needs of those that it may send. held says which of its
-- unsent rows are on hold: of those the payload does not come.
-- +goose StatementBegin
create function outbox.read_gaps(p_from bigint[], p_to bigint[], p_shards smallint[], p_limit integer)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, held boolean
)
language plpgsql stable
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
           case when r.mine and not r.held then r.payload end,
           case when r.mine and not r.held then r.headers end,
           r.mine and r.held
    from unnest(p_from, p_to) as g (first, last)
    cross join lateral (
        select e.*,
               e.sent_at is null and e.shard = any (p_shards) as mine,
               e.sent_at is null and exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id
               ) as held
        from outbox.events e
        where e.id between g.first and g.last
          and e.id between p_from[1] and p_to[cardinality(p_to)]
        order by e.id
        limit p_limit
    ) as r
    limit p_limit;
end
$$;
-- +goose StatementEnd

-- The unsent rows of a lane, without an aggregate those of a whole destination,
-- without a destination all of them, from an id on, with p_held also those on
-- hold. It looks at p_examine rows at most and returns p_limit at most; the last row that it looked at comes in any case, as an id alone if it is not
-- one of them. place counts the rows that were looked at.
-- +goose StatementBegin
create function outbox.read_left(
    p_destination text, p_type text, p_id text, p_from bigint, p_shards smallint[], p_examine integer, p_limit integer,
    p_held boolean
)
returns table (
    id bigint, created_at timestamptz, event_id uuid, replays integer, replay_of bigint, shard smallint,
    aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json,
    place bigint
)
language plpgsql stable
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
begin
    return query
    select r.id,
           case when r.wanted then r.created_at end,
           case when r.wanted then r.event_id end,
           case when r.wanted then r.replays end,
           case when r.wanted then r.replay_of end,
           case when r.wanted then r.shard end,
           case when r.wanted then r.aggregate_type end,
           case when r.wanted then r.aggregate_id end,
           case when r.wanted then r.event_type end,
           case when r.wanted then r.destination end,
           case when r.wanted then r.payload end,
           case when r.wanted then r.headers end,
           r.place
    from (
        select e.*,
               row_number() over () as place,
               e.shard = any (p_shards)
               and (p_destination = '' or e.destination = p_destination)
               and (p_id = '' or e.aggregate_type = p_type and e.aggregate_id = p_id)
               and (p_held or not exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id)) as wanted
        from (
            select * from outbox.events x
            where x.sent_at is null and x.id >= p_from
            order by x.id
            limit p_examine
        ) as e
    ) as r
    where r.wanted or r.place = p_examine
    limit p_limit;
end
$$;
-- +goose StatementEnd

-- How many unsent rows there are above an id, p_limit at most, and the age of
-- the oldest of them in seconds.
-- +goose StatementBegin
create function outbox.read_backlog(p_low bigint, p_limit integer)
returns table (pending bigint, oldest double precision)
language plpgsql stable
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
    return query
    select count(*), coalesce(extract(epoch from clock_timestamp() - min(p.created_at)), 0)::double precision
    from (
        select e.created_at
        from outbox.events e
        where e.sent_at is null and e.id > p_low
        order by e.id
        limit p_limit
    ) as p;
end
$$;
-- +goose StatementEnd

-- Makes the roles where it may, and grants them what they need. A migration
-- calls it; run it again after making by hand the roles it could not make.
-- +goose StatementBegin
create function outbox.grant_roles() returns void
language plpgsql volatile
as $$
declare
    wanted text;
begin
    foreach wanted in array array['outbox_writer', 'outbox_relay', 'outbox_redrive', 'outbox_janitor'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then
                    null; -- another database of the cluster was faster
                when insufficient_privilege then
                    raise notice 'role % is missing and % may not create it; as an administrator run: create role % nologin; then as the owner of the schema: select outbox.grant_roles()',
                        wanted, current_user, wanted;
            end;
        end if;
    end loop;

    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_writer') then
        grant usage on schema outbox to outbox_writer;
        grant insert (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
            on outbox.events to outbox_writer;
        grant execute on function outbox.uuidv7(), outbox.lock_aggregate(text, text),
            outbox.enqueue(text, text, text, json, text, json, uuid) to outbox_writer;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_relay') then
        grant usage on schema outbox to outbox_relay;
        grant select, delete, update (sent_at, message_id, sequence_number) on outbox.events to outbox_relay;
        grant select, insert, update, delete on outbox.dead_letters, outbox.blocked, outbox.relays to outbox_relay;
        grant select, update on outbox.shards to outbox_relay;
        grant select on outbox.archive, outbox.migrations, outbox.events_id_seq to outbox_relay;
        grant execute on function
            outbox.ranges(bigint[], bigint[]),
            outbox.join_relay(uuid, text, interval, interval, interval, integer),
            outbox.renew_relay(uuid, interval, integer, boolean, smallint[], bigint[], smallint[], bigint, bigint[], bigint[], text[], text[], text[], timestamptz[]),
            outbox.leave_relay(uuid, smallint[], bigint[], bigint, bigint[], bigint[]),
            outbox.read_gaps(bigint[], bigint[], smallint[], integer),
            outbox.read_left(text, text, text, bigint, smallint[], integer, integer, boolean),
            outbox.read_backlog(bigint, integer)
            to outbox_relay;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_janitor') then
        grant usage on schema outbox to outbox_janitor;
        grant select on outbox.events, outbox.archive, outbox.dead_letters, outbox.blocked, outbox.relays, outbox.shards,
            outbox.migrations, outbox.events_id_seq to outbox_janitor;
        grant execute on function outbox.make_partition(bigint), outbox.make_partitions(integer) to outbox_janitor;
    end if;

    -- Later migrations bring grants of their own.
    for wanted in
        select p.oid::regprocedure::text from pg_catalog.pg_proc p
        where p.pronamespace = 'outbox'::regnamespace and p.proname like 'grant\_to\_%'
    loop
        execute 'select ' || wanted;
    end loop;
end
$$;
-- +goose StatementEnd

revoke all on all functions in schema outbox from public;

select outbox.grant_roles();
