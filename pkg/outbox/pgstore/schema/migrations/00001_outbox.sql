-- The events, in the order of their ids. sent_at is null until the destination
-- accepted the event. replay_of is the id of the row that a replay copied. replays is how
-- often the event was redriven or replayed; the deduplication id has that number.
-- payload_bytes is the size of the payload as text: a reader knows it without fetching the
-- payload, which may be stored compressed and apart from the row.
--
-- Columns of fixed width come first, widest first, so that no row is padded. The
-- shard is a hash of type and id in which the hash of the type seeds that of the
-- id: no two different pairs become one text, whatever characters they have.
create table outbox.events (
    id              bigint generated always as identity,
    created_at      timestamptz not null default clock_timestamp(),
    sent_at         timestamptz,
    replay_of       bigint,
    event_id        uuid not null default outbox.uuidv7(),
    replays         integer not null default 0,
    payload_bytes   integer not null generated always as (octet_length(payload::text)) stored,
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

    -- An update evaluates every constraint again. Those on columns that no update changes
    -- are true at once for a sent row, which takes a quarter off the time of marking.
    constraint aggregate_type_has_1_to_256_characters check (sent_at is not null or char_length(aggregate_type) between 1 and 256),
    constraint aggregate_id_has_1_to_1024_characters  check (sent_at is not null or char_length(aggregate_id) between 1 and 1024),
    constraint event_type_has_1_to_256_characters     check (sent_at is not null or char_length(event_type) between 1 and 256),
    constraint destination_has_1_to_256_characters    check (sent_at is not null or char_length(destination) between 1 and 256),
    -- The three are the key of outbox.blocked, and an index entry has at most 2,704 bytes.
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
    -- Valid JSON has no raw control characters, so two code points are left to refuse.
    constraint payload_has_only_characters_that_sqs_takes
        check (sent_at is not null or strpos(payload::text, U&'\FFFE') = 0 and strpos(payload::text, U&'\FFFF') = 0),

    -- A message may have 1,048,576 bytes, attributes and envelope included.
    constraint payload_is_at_most_1_mib_less_32_kib check (sent_at is not null or payload_bytes <= 1015808),
    -- The levels of a payload are counted only where it has so many brackets.
    constraint payload_is_at_most_4000_levels_deep
        check (sent_at is not null
            or payload_bytes <= 8000
            or octet_length(replace(replace(payload::text, '[', ''), '{', '')) >= payload_bytes - 4000
            or outbox.nests_at_most_4000(payload)),
    -- In the message the headers are percent-encoded: brokers take every character of them.
    constraint headers_are_at_most_8_kib check (sent_at is not null or octet_length(headers::text) <= 8192),
    constraint headers_are_a_json_object check (sent_at is not null or json_typeof(headers) = 'object'),

    -- The deduplication id is made of it, so that brokers would drop all such events but one.
    constraint event_id_is_not_zero check (sent_at is not null or event_id <> '00000000-0000-0000-0000-000000000000'),
    constraint replays_are_not_negative check (replays >= 0),
    constraint sent_events_have_a_message_id check ((sent_at is null) = (message_id is null))
) partition by range (id);

-- The unsent events of each destination, in their order.
create index events_unsent_idx on outbox.events (destination, id) where sent_at is null;
create index events_event_id_idx on outbox.events (event_id);

-- The events of ids for which no partition was made in time.
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

-- The sent events that the janitor moved out of outbox.events, partition by partition or row by row. sent_at is not null here, so that
-- the database itself refuses to archive what was not sent: a partition is attached
-- after its own column was set to not null.
create table outbox.archive (
    id              bigint not null,
    created_at      timestamptz not null,
    sent_at         timestamptz not null,
    replay_of       bigint,
    event_id        uuid not null,
    replays         integer not null,
    payload_bytes   integer not null generated always as (octet_length(payload::text)) stored,
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

-- Events that the relay gave up, and why. An event is here or in outbox.events, never in both. Where ids came again,
-- as after a failover that lost commits, two events here have one id.
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
    constraint dead_letters_pkey primary key (id, event_id)
);

create index dead_letters_event_id_idx on outbox.dead_letters (event_id);

-- Finds the dead letters of one aggregate in their order. It has a hash, because
-- type and id may be too long for an index.
create index dead_letters_aggregate_idx on outbox.dead_letters
    (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)), id);

-- The dead letters that the retention deleted, without payload and headers, so that an event which was never sent is
-- known after that. Rows are deleted when they are old.
create table outbox.deleted_dead_letters (
    id             bigint not null,
    created_at     timestamptz not null,
    dead_at        timestamptz not null,
    deleted_at     timestamptz not null default clock_timestamp(),
    replay_of      bigint,
    event_id       uuid not null,
    replays        integer not null,
    attempts       integer not null,
    shard          smallint not null,
    aggregate_type text not null,
    aggregate_id   text not null,
    event_type     text not null,
    destination    text not null,
    code           text not null,
    reason         text not null,
    constraint deleted_dead_letters_pkey primary key (event_id, id)
);

create index deleted_dead_letters_deleted_at_idx on outbox.deleted_dead_letters (deleted_at);

-- The lanes that are blocked behind a dead letter, which event_id names. Once
-- released_at is set, the relay that owns the shard reads the lane again from
-- first_id on and deletes the row.
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

-- One row for each relay with a lease, written with each renewal. low and gaps are
-- the position of the relay: where its covered shards would be read on from.
-- destinations are those that the relay is configured for, and lows[i] is the id up to
-- which the rows of destinations[i] are settled.
create table outbox.relays (
    started_at  timestamptz not null,
    run_until   timestamptz not null,
    lease_until timestamptz not null,
    low         bigint not null default 0,
    relay_id    uuid not null,
    leaving     boolean not null default false,
    gaps        int8multirange not null default '{}',
    destinations text[] not null default '{}',
    lows        bigint[] not null default '{}',
    name        text not null,
    constraint relays_pkey primary key (relay_id)
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The shards and their owners. A row is written only when its shard changes hands.
-- covered says that the owner has been answered that the shard is its own, so that
-- its position counts for the shard; until then low, gaps, destinations and lows of this
-- row count.
create table outbox.shards (
    epoch       bigint not null default 0,
    low         bigint not null default 0,
    acquired_at timestamptz,
    owner       uuid,
    shard       smallint not null,
    covered     boolean not null default false,
    gaps        int8multirange not null default '{}',
    destinations text[] not null default '{}',
    lows        bigint[] not null default '{}',
    constraint shards_pkey primary key (shard),
    constraint shard_is_0_to_63 check (shard between 0 and 63)
) with (fillfactor = 50);

insert into outbox.shards (shard) select generate_series(0, 63);

-- The era of the row ids, in one row. It grows when ids come again: timeline and database are those of the server and the
-- database when it was stored, timeline is 0 where the server does not tell it. outbox.current_era() has the era now.
create table outbox.era (
    era      bigint not null default 1,
    timeline bigint not null default 0,
    database oid not null default 0,
    one      boolean not null default true,
    constraint era_pkey primary key (one),
    constraint there_is_one_era check (one)
);

insert into outbox.era default values;

-- One row for each time that an event was redriven or replayed. code, reason and attempts
-- are those of the dead letter that it was, null for a replay. row_id is the id of that
-- dead letter, or of the row that a replay copied; copy_id is the id of the copy. Rows
-- are only added, and deleted when they are old.
create table outbox.redrives (
    redrive_id  bigint generated always as identity,
    redriven_at timestamptz not null default clock_timestamp(),
    row_id      bigint not null,
    copy_id     bigint,
    event_id    uuid not null,
    generation  integer not null,
    attempts    integer,
    source      text not null,
    request_id  text not null,
    destination text not null,
    code        text,
    reason      text,
    constraint redrives_pkey primary key (redrive_id),
    constraint source_is_dead_letters_blocked_or_replay check (source in ('dead_letters', 'blocked', 'replay'))
);

create index redrives_event_id_idx on outbox.redrives (event_id);

-- One row for each run that redrove a dead-letter queue of SQS, written before the run received its first message.
-- login is the one that was logged in to the database, request_id Lambda's id of the invocation or what the command line
-- was given. queue and send_to are ARNs. request has the filters and the limit. ended_at and answer, which has the
-- counts, are null while the run lasts, and when it was killed. Rows are only added and ended, and deleted when they are
-- old.
create table outbox.dlq_redrives (
    redrive_id bigint generated always as identity,
    started_at timestamptz not null default clock_timestamp(),
    ended_at   timestamptz,
    login      text not null,
    request_id text not null,
    queue      text not null,
    send_to    text not null,
    request    json not null,
    answer     json,
    constraint dlq_redrives_pkey primary key (redrive_id)
);

-- Replays and how far they are. First the rows with ids above through, up to
-- last_id, are searched and those that are to be copied are listed in
-- outbox.replay_events; then each is copied and taken off the list in one
-- transaction, so that none is copied twice.
create table outbox.replays (
    replay_id      uuid not null,
    created_at     timestamptz not null default clock_timestamp(),
    searched_at    timestamptz,
    ended_at       timestamptz,
    created_from   timestamptz,
    created_to     timestamptz,
    through        bigint not null,
    last_id        bigint not null,
    found          bigint not null default 0,
    copied         bigint not null default 0,
    failed         bigint not null default 0,
    interleave     boolean not null,
    request_id     text not null,
    redirect       text,
    event_ids      uuid[],
    destination    text,
    aggregate_type text,
    aggregate_id   text,
    event_type     text,
    constraint replays_pkey primary key (replay_id)
);

create table outbox.replay_events (
    id        bigint not null,
    aggregate bigint not null,
    replay_id uuid not null,
    constraint replay_events_pkey primary key (replay_id, id),
    constraint replay_events_replay_id_fkey foreign key (replay_id) references outbox.replays on delete cascade
);

create index replay_events_aggregate_idx on outbox.replay_events (replay_id, aggregate, id);

-- What one run of the janitor leaves for the next, in one row. last_id and ids_per_second
-- were measured at sampled_at. The rate is the highest measured; an older one counts
-- halved for every six hours since.
create table outbox.janitor (
    sampled_at     timestamptz not null default clock_timestamp(),
    ended_at       timestamptz,
    last_id        bigint not null default 0,
    ids_per_second double precision not null default 0,
    one            boolean not null default true,
    constraint janitor_pkey primary key (one),
    constraint there_is_one_row check (one)
);

insert into outbox.janitor default values;

-- The files that archived rows were exported to. removed_at says when the rows were
-- deleted from the archive; until then they are there as well.
create table outbox.exports (
    number      bigint not null,
    from_id     bigint not null,
    to_id       bigint not null,
    rows        bigint not null,
    digest      numeric not null,
    bytes       bigint not null,
    sha256      text not null,
    location    text not null,
    exported_at timestamptz not null default clock_timestamp(),
    removed_at  timestamptz,
    constraint exports_pkey primary key (location),
    constraint exports_have_rows check (rows > 0 and from_id <= to_id)
);

create unique index exports_number_idx on outbox.exports (number, from_id) where removed_at is null;

select outbox.make_partitions(3);
