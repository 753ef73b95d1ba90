column archive.id bigint not null
column archive.created_at timestamp with time zone not null
column archive.sent_at timestamp with time zone not null
column archive.replay_of bigint
column archive.event_id uuid not null
column archive.replays integer not null
column archive.payload_bytes integer not null generated default octet_length((payload)::text)
column archive.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column archive.aggregate_type text not null
column archive.aggregate_id text not null
column archive.event_type text not null
column archive.destination text not null
column archive.payload json not null
column archive.headers json
column archive.message_id text
column archive.sequence_number text
column archive_default.id bigint not null
column archive_default.created_at timestamp with time zone not null
column archive_default.sent_at timestamp with time zone not null
column archive_default.replay_of bigint
column archive_default.event_id uuid not null
column archive_default.replays integer not null
column archive_default.payload_bytes integer not null generated default octet_length((payload)::text)
column archive_default.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column archive_default.aggregate_type text not null
column archive_default.aggregate_id text not null
column archive_default.event_type text not null
column archive_default.destination text not null
column archive_default.payload json not null
column archive_default.headers json
column archive_default.message_id text
column archive_default.sequence_number text
column blocked.first_id bigint not null
column blocked.blocked_at timestamp with time zone not null default clock_timestamp()
column blocked.released_at timestamp with time zone
column blocked.event_id uuid not null
column blocked.shard smallint not null
column blocked.destination text not null
column blocked.aggregate_type text not null
column blocked.aggregate_id text not null
column blocked.reason text not null
column dead_letters.id bigint not null
column dead_letters.created_at timestamp with time zone not null
column dead_letters.dead_at timestamp with time zone not null default clock_timestamp()
column dead_letters.replay_of bigint
column dead_letters.event_id uuid not null
column dead_letters.replays integer not null
column dead_letters.attempts integer not null
column dead_letters.shard smallint not null
column dead_letters.aggregate_type text not null
column dead_letters.aggregate_id text not null
column dead_letters.event_type text not null
column dead_letters.destination text not null
column dead_letters.payload json not null
column dead_letters.headers json
column dead_letters.code text not null
column dead_letters.reason text not null
column deleted_dead_letters.id bigint not null
column deleted_dead_letters.created_at timestamp with time zone not null
column deleted_dead_letters.dead_at timestamp with time zone not null
column deleted_dead_letters.deleted_at timestamp with time zone not null default clock_timestamp()
column deleted_dead_letters.replay_of bigint
column deleted_dead_letters.event_id uuid not null
column deleted_dead_letters.replays integer not null
column deleted_dead_letters.attempts integer not null
column deleted_dead_letters.shard smallint not null
column deleted_dead_letters.aggregate_type text not null
column deleted_dead_letters.aggregate_id text not null
column deleted_dead_letters.event_type text not null
column deleted_dead_letters.destination text not null
column deleted_dead_letters.code text not null
column deleted_dead_letters.reason text not null
column dlq_redrives.redrive_id bigint not null identity a
column dlq_redrives.started_at timestamp with time zone not null default clock_timestamp()
column dlq_redrives.ended_at timestamp with time zone
column dlq_redrives.login text not null
column dlq_redrives.request_id text not null
column dlq_redrives.queue text not null
column dlq_redrives.send_to text not null
column dlq_redrives.request json not null
column dlq_redrives.answer json
column era.era bigint not null default 1
column era.timeline bigint not null default 0
column era.database oid not null default 0
column era.one boolean not null default true
column events.id bigint not null identity a
column events.created_at timestamp with time zone not null default clock_timestamp()
column events.sent_at timestamp with time zone
column events.replay_of bigint
column events.event_id uuid not null default outbox.uuidv7()
column events.replays integer not null default 0
column events.payload_bytes integer not null generated default octet_length((payload)::text)
column events.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events.aggregate_type text not null
column events.aggregate_id text not null
column events.event_type text not null
column events.destination text not null default 'default'::text
column events.payload json not null
column events.headers json
column events.message_id text
column events.sequence_number text
column events_default.id bigint not null
column events_default.created_at timestamp with time zone not null default clock_timestamp()
column events_default.sent_at timestamp with time zone
column events_default.replay_of bigint
column events_default.event_id uuid not null default outbox.uuidv7()
column events_default.replays integer not null default 0
column events_default.payload_bytes integer not null generated default octet_length((payload)::text)
column events_default.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_default.aggregate_type text not null
column events_default.aggregate_id text not null
column events_default.event_type text not null
column events_default.destination text not null default 'default'::text
column events_default.payload json not null
column events_default.headers json
column events_default.message_id text
column events_default.sequence_number text
column events_p000000.id bigint not null
column events_p000000.created_at timestamp with time zone not null default clock_timestamp()
column events_p000000.sent_at timestamp with time zone
column events_p000000.replay_of bigint
column events_p000000.event_id uuid not null default outbox.uuidv7()
column events_p000000.replays integer not null default 0
column events_p000000.payload_bytes integer not null generated default octet_length((payload)::text)
column events_p000000.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_p000000.aggregate_type text not null
column events_p000000.aggregate_id text not null
column events_p000000.event_type text not null
column events_p000000.destination text not null default 'default'::text
column events_p000000.payload json not null
column events_p000000.headers json
column events_p000000.message_id text
column events_p000000.sequence_number text
column events_p000001.id bigint not null
column events_p000001.created_at timestamp with time zone not null default clock_timestamp()
column events_p000001.sent_at timestamp with time zone
column events_p000001.replay_of bigint
column events_p000001.event_id uuid not null default outbox.uuidv7()
column events_p000001.replays integer not null default 0
column events_p000001.payload_bytes integer not null generated default octet_length((payload)::text)
column events_p000001.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_p000001.aggregate_type text not null
column events_p000001.aggregate_id text not null
column events_p000001.event_type text not null
column events_p000001.destination text not null default 'default'::text
column events_p000001.payload json not null
column events_p000001.headers json
column events_p000001.message_id text
column events_p000001.sequence_number text
column events_p000002.id bigint not null
column events_p000002.created_at timestamp with time zone not null default clock_timestamp()
column events_p000002.sent_at timestamp with time zone
column events_p000002.replay_of bigint
column events_p000002.event_id uuid not null default outbox.uuidv7()
column events_p000002.replays integer not null default 0
column events_p000002.payload_bytes integer not null generated default octet_length((payload)::text)
column events_p000002.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_p000002.aggregate_type text not null
column events_p000002.aggregate_id text not null
column events_p000002.event_type text not null
column events_p000002.destination text not null default 'default'::text
column events_p000002.payload json not null
column events_p000002.headers json
column events_p000002.message_id text
column events_p000002.sequence_number text
column events_p000003.id bigint not null
column events_p000003.created_at timestamp with time zone not null default clock_timestamp()
column events_p000003.sent_at timestamp with time zone
column events_p000003.replay_of bigint
column events_p000003.event_id uuid not null default outbox.uuidv7()
column events_p000003.replays integer not null default 0
column events_p000003.payload_bytes integer not null generated default octet_length((payload)::text)
column events_p000003.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_p000003.aggregate_type text not null
column events_p000003.aggregate_id text not null
column events_p000003.event_type text not null
column events_p000003.destination text not null default 'default'::text
column events_p000003.payload json not null
column events_p000003.headers json
column events_p000003.message_id text
column events_p000003.sequence_number text
column exports.number bigint not null
column exports.from_id bigint not null
column exports.to_id bigint not null
column exports.rows bigint not null
column exports.digest numeric not null
column exports.bytes bigint not null
column exports.sha256 text not null
column exports.location text not null
column exports.exported_at timestamp with time zone not null default clock_timestamp()
column exports.removed_at timestamp with time zone
column functions.name text not null
column functions.sha256 text not null default ''::text
column functions.declaration text not null default ''::text
column functions.roles text[] not null
column janitor.sampled_at timestamp with time zone not null default clock_timestamp()
column janitor.ended_at timestamp with time zone
column janitor.last_id bigint not null default 0
column janitor.ids_per_second double precision not null default 0
column janitor.one boolean not null default true
column locks.name text not null
column redrives.redrive_id bigint not null identity a
column redrives.redriven_at timestamp with time zone not null default clock_timestamp()
column redrives.row_id bigint not null
column redrives.copy_id bigint
column redrives.event_id uuid not null
column redrives.generation integer not null
column redrives.attempts integer
column redrives.source text not null
column redrives.request_id text not null
column redrives.destination text not null
column redrives.code text
column redrives.reason text
column relays.started_at timestamp with time zone not null
column relays.run_until timestamp with time zone not null
column relays.lease_until timestamp with time zone not null
column relays.low bigint not null default 0
column relays.relay_id uuid not null
column relays.leaving boolean not null default false
column relays.gaps int8multirange not null default '{}'::int8multirange
column relays.destinations text[] not null default '{}'::text[]
column relays.lows bigint[] not null default '{}'::bigint[]
column relays.name text not null
column replay_events.id bigint not null
column replay_events.aggregate bigint not null
column replay_events.replay_id uuid not null
column replays.replay_id uuid not null
column replays.created_at timestamp with time zone not null default clock_timestamp()
column replays.searched_at timestamp with time zone
column replays.ended_at timestamp with time zone
column replays.created_from timestamp with time zone
column replays.created_to timestamp with time zone
column replays.through bigint not null
column replays.last_id bigint not null
column replays.found bigint not null default 0
column replays.copied bigint not null default 0
column replays.failed bigint not null default 0
column replays.interleave boolean not null
column replays.request_id text not null
column replays.redirect text
column replays.event_ids uuid[]
column replays.destination text
column replays.aggregate_type text
column replays.aggregate_id text
column replays.event_type text
column settings.role_prefix text not null default 'outbox'::text
column settings.keep interval not null default '1 day'::interval
column settings.export_required boolean not null default false
column settings.one boolean not null default true
column shards.epoch bigint not null default 0
column shards.low bigint not null default 0
column shards.acquired_at timestamp with time zone
column shards.owner uuid
column shards.shard smallint not null
column shards.covered boolean not null default false
column shards.gaps int8multirange not null default '{}'::int8multirange
column shards.destinations text[] not null default '{}'::text[]
column shards.lows bigint[] not null default '{}'::bigint[]
table archive partition by RANGE (id)
table archive_default of outbox.archive DEFAULT
table blocked
table dead_letters
table deleted_dead_letters
table dlq_redrives
table era
table events partition by RANGE (id)
table events_default of outbox.events DEFAULT with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000000 of outbox.events FOR VALUES FROM ('0') TO ('1000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000001 of outbox.events FOR VALUES FROM ('1000000') TO ('2000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000002 of outbox.events FOR VALUES FROM ('2000000') TO ('3000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000003 of outbox.events FOR VALUES FROM ('3000000') TO ('4000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table exports
table functions
table janitor
table locks
table redrives
table relays with fillfactor=10, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000
table replay_events
table replays
table settings
table shards with fillfactor=50
constraint outbox.archive_default archive_default_pkey PRIMARY KEY (id)
constraint outbox.archive archive_pkey PRIMARY KEY (id)
constraint outbox.blocked blocked_pkey PRIMARY KEY (destination, aggregate_type, aggregate_id)
constraint outbox.dead_letters dead_letters_pkey PRIMARY KEY (id, event_id)
constraint outbox.deleted_dead_letters deleted_dead_letters_pkey PRIMARY KEY (event_id, id)
constraint outbox.dlq_redrives dlq_redrives_pkey PRIMARY KEY (redrive_id)
constraint outbox.era era_pkey PRIMARY KEY (one)
constraint outbox.era there_is_one_era CHECK (one)
constraint outbox.events_default aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events_default aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_default aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events_default aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_default destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events_default destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_default event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events_default event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events_default event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_default events_default_pkey PRIMARY KEY (id)
constraint outbox.events_default headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events_default headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events_default lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events_default payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events_default payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events_default payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events_default replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_default sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000000 aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events_p000000 aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000000 aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events_p000000 aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000000 destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events_p000000 destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000000 event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events_p000000 event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events_p000000 event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000000 events_p000000_pkey PRIMARY KEY (id)
constraint outbox.events_p000000 headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events_p000000 headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events_p000000 ids_of_this_partition CHECK (((id >= 0) AND (id < 1000000)))
constraint outbox.events_p000000 lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events_p000000 payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events_p000000 payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events_p000000 payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events_p000000 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000000 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000001 aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events_p000001 aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000001 aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events_p000001 aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000001 destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events_p000001 destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000001 event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events_p000001 event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events_p000001 event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000001 events_p000001_pkey PRIMARY KEY (id)
constraint outbox.events_p000001 headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events_p000001 headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events_p000001 ids_of_this_partition CHECK (((id >= 1000000) AND (id < 2000000)))
constraint outbox.events_p000001 lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events_p000001 payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events_p000001 payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events_p000001 payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events_p000001 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000001 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000002 aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events_p000002 aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000002 aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events_p000002 aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000002 destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events_p000002 destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000002 event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events_p000002 event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events_p000002 event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000002 events_p000002_pkey PRIMARY KEY (id)
constraint outbox.events_p000002 headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events_p000002 headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events_p000002 ids_of_this_partition CHECK (((id >= 2000000) AND (id < 3000000)))
constraint outbox.events_p000002 lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events_p000002 payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events_p000002 payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events_p000002 payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events_p000002 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000002 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000003 aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events_p000003 aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000003 aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events_p000003 aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000003 destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events_p000003 destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000003 event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events_p000003 event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events_p000003 event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events_p000003 events_p000003_pkey PRIMARY KEY (id)
constraint outbox.events_p000003 headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events_p000003 headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events_p000003 ids_of_this_partition CHECK (((id >= 3000000) AND (id < 4000000)))
constraint outbox.events_p000003 lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events_p000003 payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events_p000003 payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events_p000003 payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events_p000003 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000003 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events aggregate_id_has_1_to_1024_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024))))
constraint outbox.events aggregate_id_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events aggregate_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256))))
constraint outbox.events aggregate_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events destination_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(destination) >= 1) AND (char_length(destination) <= 256))))
constraint outbox.events destination_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events event_id_is_not_zero CHECK (((sent_at IS NOT NULL) OR (event_id <> '00000000-0000-0000-0000-000000000000'::uuid)))
constraint outbox.events event_type_has_1_to_256_characters CHECK (((sent_at IS NOT NULL) OR ((char_length(event_type) >= 1) AND (char_length(event_type) <= 256))))
constraint outbox.events event_type_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR (event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text)))
constraint outbox.events events_pkey PRIMARY KEY (id)
constraint outbox.events headers_are_a_json_object CHECK (((sent_at IS NOT NULL) OR (json_typeof(headers) = 'object'::text)))
constraint outbox.events headers_are_at_most_8_kib CHECK (((sent_at IS NOT NULL) OR (octet_length((headers)::text) <= 8192)))
constraint outbox.events lane_has_at_most_2600_bytes CHECK (((sent_at IS NOT NULL) OR (((octet_length(destination) + octet_length(aggregate_type)) + octet_length(aggregate_id)) <= 2600)))
constraint outbox.events payload_has_only_characters_that_sqs_takes CHECK (((sent_at IS NOT NULL) OR ((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0))))
constraint outbox.events payload_is_at_most_1_mib_less_32_kib CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 1015808)))
constraint outbox.events payload_is_at_most_4000_levels_deep CHECK (((sent_at IS NOT NULL) OR (payload_bytes <= 8000) OR (octet_length(replace(replace((payload)::text, '['::text, ''::text), '{'::text, ''::text)) >= (payload_bytes - 4000)) OR outbox.nests_at_most_4000(payload)))
constraint outbox.events replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.exports exports_have_rows CHECK (((rows > 0) AND (from_id <= to_id)))
constraint outbox.exports exports_pkey PRIMARY KEY (location)
constraint outbox.functions functions_pkey PRIMARY KEY (name)
constraint outbox.janitor janitor_pkey PRIMARY KEY (one)
constraint outbox.janitor there_is_one_row CHECK (one)
constraint outbox.locks locks_pkey PRIMARY KEY (name)
constraint outbox.redrives redrives_pkey PRIMARY KEY (redrive_id)
constraint outbox.redrives source_is_dead_letters_blocked_or_replay CHECK ((source = ANY (ARRAY['dead_letters'::text, 'blocked'::text, 'replay'::text])))
constraint outbox.relays relays_pkey PRIMARY KEY (relay_id)
constraint outbox.replay_events replay_events_pkey PRIMARY KEY (replay_id, id)
constraint outbox.replay_events replay_events_replay_id_fkey FOREIGN KEY (replay_id) REFERENCES outbox.replays(replay_id) ON DELETE CASCADE
constraint outbox.replays replays_pkey PRIMARY KEY (replay_id)
constraint outbox.settings settings_pkey PRIMARY KEY (one)
constraint outbox.settings there_is_one_row CHECK (one)
constraint outbox.shards shard_is_0_to_63 CHECK (((shard >= 0) AND (shard <= 63)))
constraint outbox.shards shards_pkey PRIMARY KEY (shard)
CREATE INDEX archive_default_event_id_idx ON outbox.archive_default USING btree (event_id)
CREATE UNIQUE INDEX archive_default_pkey ON outbox.archive_default USING btree (id)
CREATE INDEX archive_event_id_idx ON ONLY outbox.archive USING btree (event_id)
CREATE UNIQUE INDEX archive_pkey ON ONLY outbox.archive USING btree (id)
CREATE UNIQUE INDEX blocked_pkey ON outbox.blocked USING btree (destination, aggregate_type, aggregate_id)
CREATE INDEX blocked_released_idx ON outbox.blocked USING btree (shard) WHERE (released_at IS NOT NULL)
CREATE INDEX dead_letters_aggregate_idx ON outbox.dead_letters USING btree (hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)), id)
CREATE INDEX dead_letters_event_id_idx ON outbox.dead_letters USING btree (event_id)
CREATE UNIQUE INDEX dead_letters_pkey ON outbox.dead_letters USING btree (id, event_id)
CREATE INDEX deleted_dead_letters_deleted_at_idx ON outbox.deleted_dead_letters USING btree (deleted_at)
CREATE UNIQUE INDEX deleted_dead_letters_pkey ON outbox.deleted_dead_letters USING btree (event_id, id)
CREATE UNIQUE INDEX dlq_redrives_pkey ON outbox.dlq_redrives USING btree (redrive_id)
CREATE UNIQUE INDEX era_pkey ON outbox.era USING btree (one)
CREATE INDEX events_default_destination_id_idx ON outbox.events_default USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE INDEX events_default_event_id_idx ON outbox.events_default USING btree (event_id)
CREATE UNIQUE INDEX events_default_pkey ON outbox.events_default USING btree (id)
CREATE INDEX events_event_id_idx ON ONLY outbox.events USING btree (event_id)
CREATE INDEX events_p000000_destination_id_idx ON outbox.events_p000000 USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE INDEX events_p000000_event_id_idx ON outbox.events_p000000 USING btree (event_id)
CREATE UNIQUE INDEX events_p000000_pkey ON outbox.events_p000000 USING btree (id)
CREATE INDEX events_p000001_destination_id_idx ON outbox.events_p000001 USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE INDEX events_p000001_event_id_idx ON outbox.events_p000001 USING btree (event_id)
CREATE UNIQUE INDEX events_p000001_pkey ON outbox.events_p000001 USING btree (id)
CREATE INDEX events_p000002_destination_id_idx ON outbox.events_p000002 USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE INDEX events_p000002_event_id_idx ON outbox.events_p000002 USING btree (event_id)
CREATE UNIQUE INDEX events_p000002_pkey ON outbox.events_p000002 USING btree (id)
CREATE INDEX events_p000003_destination_id_idx ON outbox.events_p000003 USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE INDEX events_p000003_event_id_idx ON outbox.events_p000003 USING btree (event_id)
CREATE UNIQUE INDEX events_p000003_pkey ON outbox.events_p000003 USING btree (id)
CREATE UNIQUE INDEX events_pkey ON ONLY outbox.events USING btree (id)
CREATE INDEX events_unsent_idx ON ONLY outbox.events USING btree (destination, id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX exports_number_idx ON outbox.exports USING btree (number, from_id) WHERE (removed_at IS NULL)
CREATE UNIQUE INDEX exports_pkey ON outbox.exports USING btree (location)
CREATE UNIQUE INDEX functions_pkey ON outbox.functions USING btree (name)
CREATE UNIQUE INDEX janitor_pkey ON outbox.janitor USING btree (one)
CREATE UNIQUE INDEX locks_pkey ON outbox.locks USING btree (name)
CREATE INDEX redrives_event_id_idx ON outbox.redrives USING btree (event_id)
CREATE UNIQUE INDEX redrives_pkey ON outbox.redrives USING btree (redrive_id)
CREATE UNIQUE INDEX relays_pkey ON outbox.relays USING btree (relay_id)
CREATE INDEX replay_events_aggregate_idx ON outbox.replay_events USING btree (replay_id, aggregate, id)
CREATE UNIQUE INDEX replay_events_pkey ON outbox.replay_events USING btree (replay_id, id)
CREATE UNIQUE INDEX replays_pkey ON outbox.replays USING btree (replay_id)
CREATE UNIQUE INDEX settings_pkey ON outbox.settings USING btree (one)
CREATE UNIQUE INDEX shards_pkey ON outbox.shards USING btree (shard)
CREATE OR REPLACE FUNCTION outbox.archive_partition(p_number bigint)
 RETURNS TABLE(outcome text, seconds double precision)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    child   text := outbox.partition_name('events', p_number);
    resting text := outbox.partition_name('archive', p_number);
    before  text[];
    began   timestamptz;
    index   record;
begin
    seconds := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'gone';
    if to_regclass(format('outbox.%I', child)) is null then
        return next;
        return;
    end if;
    outcome := 'locked';
    before := outbox.lock_holders();
    if before <> '{}' then
        perform pg_sleep(0.02);
        if before && outbox.lock_holders() then
            return next;
            return;
        end if;
    end if;
    began := clock_timestamp();
    begin
        lock table only outbox.events in access exclusive mode;
        -- A transaction that has a lock on these now got it without one on
        -- outbox.events, and is not waited for.
        execute format('lock table only outbox.%I, outbox.events_default, outbox.archive_default in access exclusive mode nowait', child);
        if not exists (
            select from pg_constraint k
            where k.conrelid = format('outbox.%I', child)::regclass and k.conname = 'being_archived' and k.convalidated) then
            outcome := 'unsealed';
            return next;
            return;
        end if;
        execute format('alter table outbox.events detach partition outbox.%I', child);
        execute format('alter table outbox.%I alter sent_at set not null', child);
        execute format('alter table outbox.%I drop constraint being_archived', child);
        execute format('alter table outbox.%I rename to %I', child, resting);
        for index in
            select c.relname as name, x.indpred is not null as partial
            from pg_index x join pg_class c on c.oid = x.indexrelid
            where x.indrelid = format('outbox.%I', resting)::regclass
        loop
            if index.partial then
                execute format('drop index outbox.%I', index.name);
            else
                execute format('alter index outbox.%I rename to %I', index.name, replace(index.name, child, resting));
            end if;
        end loop;
        execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
            resting, p_number * outbox.partition_size(), (p_number + 1) * outbox.partition_size());
        outcome := 'done';
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$function$

CREATE OR REPLACE FUNCTION outbox.begin_dlq_redrive(p_request_id text, p_queue text, p_send_to text, p_request json)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    insert into outbox.dlq_redrives (login, request_id, queue, send_to, request)
    values (session_user, p_request_id, p_queue, p_send_to, p_request)
    returning redrive_id;
$function$

CREATE OR REPLACE FUNCTION outbox.begin_era(p_known bigint, p_low bigint, p_recurred boolean, OUT era bigint, OUT last_id bigint, OUT begun boolean)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    first bigint;
    below int8multirange;
    here  oid := (select d.oid from pg_database d where d.datname = current_database());
    line  bigint := outbox.timeline();
begin
    era := outbox.current_era();
    last_id := outbox.last_id();
    begun := coalesce(p_known = era and (p_recurred or p_low > last_id), false)
        or exists (select from outbox.shards s where s.low > begin_era.last_id)
        or exists (select from outbox.relays r where r.low > begin_era.last_id);
    if begun then
        era := era + 1;
        first := least(last_id, (select min(e.id) - 1 from outbox.events e where e.sent_at is null));
        below := case when first > 0 then int8multirange(int8range(greatest(1, first - 999), first, '[]')) else '{}' end;
        update outbox.shards s set low = first, gaps = below, destinations = '{}', lows = '{}' where s.low > first;
        update outbox.relays r set low = first, gaps = below, destinations = '{}', lows = '{}' where r.low > first;
    end if;
    update outbox.era e
    set era = begin_era.era, timeline = coalesce(line, e.timeline), database = here
    where e.era <> begin_era.era or e.timeline <> coalesce(line, e.timeline) or e.database <> here;
end
$function$

CREATE OR REPLACE FUNCTION outbox.bury(p_relay uuid, p_ids bigint[], p_event_ids uuid[], p_replays integer[], p_attempts integer[], p_codes text[], p_reasons text[], p_blocks boolean[], OUT buried integer, OUT mismatched integer)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_nestloop TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
begin
    mismatched := 0;
    perform from outbox.relays r where r.relay_id = p_relay for key share;
    if not found then
        return;
    end if;
    with removed as (
        delete from outbox.events e
        using unnest(p_ids, p_event_ids, p_replays) as s (id, event_id, replays)
        where e.id = s.id
          and e.event_id = s.event_id
          and e.replays = s.replays
          and e.message_id is null -- as unsent rows have none
          -- The index is searched for the ids, and only partitions of their range are.
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)]
        returning e.*
    ), dead as (
        select r.*, s.attempts, s.code, s.reason, s.block
        from removed r
        join unnest(p_ids, p_event_ids, p_attempts, p_codes, p_reasons, p_blocks)
            as s (id, event_id, attempts, code, reason, block) on (s.id, s.event_id) = (r.id, r.event_id)
    ), letters as (
        insert into outbox.dead_letters as d (
            id, created_at, event_id, replays, replay_of, attempts, shard,
            aggregate_type, aggregate_id, event_type, destination, payload, headers, code, reason)
        select r.id, r.created_at, r.event_id, r.replays, r.replay_of, r.attempts, r.shard,
               r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.payload, r.headers, r.code, r.reason
        from dead r
        order by r.id
        on conflict (id, event_id) do update
        set dead_at = excluded.dead_at, replays = excluded.replays, attempts = excluded.attempts,
            code = excluded.code, reason = excluded.reason
    ), blocked as (
        insert into outbox.blocked as b (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
        select distinct on (r.destination, r.aggregate_type, r.aggregate_id)
               r.id, r.event_id, r.shard, r.destination, r.aggregate_type, r.aggregate_id, r.reason
        from dead r
        where r.block
        order by r.destination, r.aggregate_type, r.aggregate_id, r.id
        on conflict (destination, aggregate_type, aggregate_id) do update
        set first_id = least(b.first_id, excluded.first_id),
            event_id = excluded.event_id, reason = excluded.reason,
            blocked_at = excluded.blocked_at, released_at = null
    )
    select count(*) into buried from dead;
    if buried < cardinality(p_ids) then
        select count(*) into mismatched
        from unnest(p_ids, p_event_ids) as s (id, event_id)
        join outbox.events e on e.id = s.id
        where e.event_id <> s.event_id
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    end if;
end
$function$

CREATE OR REPLACE FUNCTION outbox.check_row_security()
 RETURNS TABLE(login text, tables text[])
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select current_user::text, coalesce(array_agg(format('outbox.%I', c.relname) order by c.relname), '{}')
    from pg_class c
    where c.relnamespace = 'outbox'::regnamespace and c.relrowsecurity
      and (c.relforcerowsecurity or row_security_active(c.oid))
$function$

CREATE OR REPLACE FUNCTION outbox.check_schema()
 RETURNS TABLE(version bigint, functions json, isolation text, cache bigint, replica boolean)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
           (select coalesce(json_object_agg(f.name, f.sha256), '{}')
            from outbox.functions f
            where exists (
                select from pg_proc p
                where p.pronamespace = 'outbox'::regnamespace and p.proname = f.name)),
           current_setting('transaction_isolation'),
           (select s.seqcache from pg_sequence s where s.seqrelid = 'outbox.events_id_seq'::regclass),
           pg_is_in_recovery()
$function$

CREATE OR REPLACE FUNCTION outbox.copy_replay(p_replay uuid, p_limit integer)
 RETURNS TABLE(outcome text, count bigint, aggregate_type text, aggregate_id text, event_id uuid)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
    r     outbox.replays;
    head  outbox.replay_events;
    ids   bigint[];
    first record;
begin
    count := 0;
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is null then
        outcome := case when r.replay_id is null then 'missing' else 'search' end;
        return next;
        return;
    end if;
    select t.* into head from outbox.replay_events t where t.replay_id = p_replay order by t.id limit 1;
    if not found then
        update outbox.replays x set ended_at = coalesce(x.ended_at, clock_timestamp()) where x.replay_id = p_replay;
        outcome := 'ended';
        return next;
        return;
    end if;

    select o.aggregate_type, o.aggregate_id, o.event_id into first
    from (
        select e.aggregate_type, e.aggregate_id, e.event_id from outbox.events e where e.id = head.id
        union all
        select a.aggregate_type, a.aggregate_id, a.event_id from outbox.archive a where a.id = head.id
    ) as o;
    if not found then
        delete from outbox.replay_events t where t.replay_id = p_replay and t.id = head.id;
        update outbox.replays x set failed = x.failed + 1 where x.replay_id = p_replay;
        outcome := 'gone';
        count := 1;
        return next;
        return;
    end if;
    aggregate_type := first.aggregate_type;
    aggregate_id := first.aggregate_id;
    event_id := first.event_id;

    if r.interleave then
        ids := array(
            select t.id
            from (
                select n.id, n.aggregate, bool_and(n.aggregate = head.aggregate) over (order by n.id) as same
                from (
                    select x.id, x.aggregate from outbox.replay_events x
                    where x.replay_id = p_replay order by x.id limit p_limit) as n
            ) as t
            where t.same
            order by t.id);
    else
        ids := array(
            select t.id from outbox.replay_events t
            where t.replay_id = p_replay and t.aggregate = head.aggregate
            order by t.id
            limit p_limit + 1);
        if cardinality(ids) > p_limit then
            delete from outbox.replay_events t where t.replay_id = p_replay and t.aggregate = head.aggregate;
            get diagnostics count = row_count;
            update outbox.replays x set failed = x.failed + count where x.replay_id = p_replay;
            outcome := 'large';
            return next;
            return;
        end if;
    end if;

    -- The ids of the copies are drawn under this lock, as those of new events.
    perform outbox.lock_aggregate(first.aggregate_type, first.aggregate_id);
    with originals as materialized (
        select e.id, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination, e.payload, e.headers
        from outbox.events e where e.id = any (ids)
        union all
        select a.id, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination, a.payload, a.headers
        from outbox.archive a where a.id = any (ids)
    ), mine as materialized (
        select o.*,
               outbox.next_generation(o.event_id) - 1
                   + row_number() over (partition by o.event_id order by o.id) as generation
        from originals o
        where o.aggregate_type = first.aggregate_type and o.aggregate_id = first.aggregate_id
    ), copies as (
        insert into outbox.events as e (
            replay_of, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers)
        select m.id, m.event_id, m.generation, m.aggregate_type, m.aggregate_id, m.event_type,
               coalesce(r.redirect, m.destination), m.payload, m.headers
        from mine m
        order by m.id
        returning e.id, e.replay_of, e.event_id, e.replays, e.destination
    ), noted as (
        insert into outbox.redrives (row_id, copy_id, event_id, generation, source, request_id, destination)
        select c.replay_of, c.id, c.event_id, c.replays, 'replay', r.request_id, c.destination
        from copies c
        order by c.id
    ), listed as (
        delete from outbox.replay_events t using copies c where t.replay_id = p_replay and t.id = c.replay_of
    )
    select count(*) from copies into count;
    update outbox.replays x set copied = x.copied + count where x.replay_id = p_replay;
    outcome := 'copied';
    return next;
end
$function$

CREATE OR REPLACE FUNCTION outbox.count_replay(p_after bigint, p_limit integer, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS TABLE(found bigint, next bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    if p_event_ids is not null then
        return query
        select count(*), null::bigint
        from outbox.find_sent(p_event_ids, clock_timestamp()) s
        where (p_destination is null or s.destination = p_destination)
          and (p_type is null or s.aggregate_type = p_type)
          and (p_id is null or s.aggregate_id = p_id)
          and (p_event_type is null or s.event_type = p_event_type)
          and (p_from is null or s.created_at >= p_from)
          and (p_to is null or s.created_at < p_to)
          and (p_id_from is null or s.id >= p_id_from)
          and (p_id_to is null or s.id <= p_id_to);
        return;
    end if;
    return query
    select count(*) filter (where s.wanted), case when count(*) = p_limit then max(s.id) end
    from outbox.search_replay(
        greatest(p_after, p_id_from - 1), coalesce(p_id_to, 9223372036854775807), clock_timestamp(), p_limit,
        p_destination, p_type, p_id, p_event_type, p_from, p_to) s;
end
$function$

CREATE OR REPLACE FUNCTION outbox.current_era()
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    stored   outbox.era;
    timeline constant bigint := outbox.timeline();
begin
    select e.* into stored from outbox.era e;
    if stored.timeline = coalesce(timeline, stored.timeline)
        and stored.database = (select d.oid from pg_database d where d.datname = current_database()) then
        return stored.era;
    end if;
    return greatest(stored.era + 1, 10 * timeline);
end
$function$

CREATE OR REPLACE FUNCTION outbox.current_partition()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    return (select s.last_value / outbox.partition_size() from outbox.events_id_seq s);
end
$function$

CREATE OR REPLACE FUNCTION outbox.delete_archived(p_from bigint, p_to bigint, p_before timestamp with time zone, p_limit integer, p_exported boolean)
 RETURNS TABLE(outcome text, deleted bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
declare
    before  constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    file    outbox.exports;
    found   record;
begin
    if not p_exported and (select s.export_required from outbox.settings s) then
        raise exception 'rows leave the archive only after their export: set export_required of outbox.settings to false to remove them without'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    deleted := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'changed';
    if p_exported then
        select x.* into file from outbox.exports x where x.from_id = p_from and x.to_id = p_to and x.removed_at is null;
        -- Each row is locked first, so that it is deleted as it was digested.
        select count(*) as rows, coalesce(sum(a.digest), 0) as digest, coalesce(bool_or(a.sent_at >= before), false) as young
        into found
        from (select outbox.digest(r) as digest, r.sent_at from outbox.archive r where r.id between p_from and p_to for update) as a;
        if file is null or found.young or found.rows is distinct from file.rows or found.digest is distinct from file.digest then
            return next;
            return;
        end if;
        delete from outbox.archive a where a.id between p_from and p_to;
        get diagnostics deleted = row_count;
        if deleted <> file.rows then
            raise exception 'delete_archived: % rows of a file of %', deleted, file.rows;
        end if;
        update outbox.exports set removed_at = clock_timestamp() where location = file.location;
    else
        delete from outbox.archive a
        where a.id in (
            select o.id from outbox.archive o
            where o.id between p_from and p_to and o.sent_at < before
            order by o.id limit p_limit)
          and a.id between p_from and p_to;
        get diagnostics deleted = row_count;
    end if;
    outcome := 'done';
    return next;
end
$function$

CREATE OR REPLACE FUNCTION outbox.delete_dead_letters(p_before timestamp with time zone, p_limit integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    deleted bigint;
begin
    with removed as (
        delete from outbox.dead_letters d
        where (d.id, d.event_id) in (
            select o.id, o.event_id from outbox.dead_letters o
            where o.dead_at < p_before
              and not exists (
                  select from outbox.blocked b
                  where (b.destination, b.aggregate_type, b.aggregate_id) = (o.destination, o.aggregate_type, o.aggregate_id)
                    and b.event_id = o.event_id)
            order by o.id limit p_limit
            for update skip locked)
        returning d.*
    )
    insert into outbox.deleted_dead_letters as x (
        id, created_at, dead_at, replay_of, event_id, replays, attempts, shard,
        aggregate_type, aggregate_id, event_type, destination, code, reason)
    select r.id, r.created_at, r.dead_at, r.replay_of, r.event_id, r.replays, r.attempts, r.shard,
           r.aggregate_type, r.aggregate_id, r.event_type, r.destination, r.code, r.reason
    from removed r
    on conflict (event_id, id) do update
    set deleted_at = excluded.deleted_at, dead_at = excluded.dead_at, replays = excluded.replays,
        attempts = excluded.attempts, code = excluded.code, reason = excluded.reason;
    get diagnostics deleted = row_count;
    return deleted;
end
$function$

CREATE OR REPLACE FUNCTION outbox.delete_dlq_redrives(p_before timestamp with time zone, p_limit integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    deleted bigint;
begin
    delete from outbox.dlq_redrives d
    where d.redrive_id in (
        select o.redrive_id from outbox.dlq_redrives o
        where o.started_at < least(p_before, clock_timestamp() - interval '30 days')
        order by o.redrive_id limit p_limit
        for update skip locked);
    get diagnostics deleted = row_count;
    return deleted;
end
$function$

CREATE OR REPLACE FUNCTION outbox.delete_redrives(p_before timestamp with time zone, p_limit integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    before   constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    redrives bigint;
    letters  bigint;
begin
    delete from outbox.redrives d
    where d.redrive_id in (
        select o.redrive_id from outbox.redrives o
        where o.redriven_at < before
        order by o.redrive_id limit p_limit
        for update skip locked);
    get diagnostics redrives = row_count;
    delete from outbox.deleted_dead_letters d
    where (d.event_id, d.id) in (
        select o.event_id, o.id from outbox.deleted_dead_letters o
        where o.deleted_at < before
        order by o.deleted_at limit p_limit
        for update skip locked);
    get diagnostics letters = row_count;
    return redrives + letters;
end
$function$

CREATE OR REPLACE FUNCTION outbox.digest(a outbox.archive)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(concat_ws(chr(31), ((a).id)::text, (EXTRACT(epoch FROM (a).created_at))::text, (EXTRACT(epoch FROM (a).sent_at))::text, ((a).event_id)::text, ((a).replays)::text, (a).aggregate_type, (a).aggregate_id, (a).event_type, (a).destination, ((a).payload)::text, COALESCE(((a).replay_of)::text, chr(30)), COALESCE(((a).headers)::text, chr(30)), COALESCE((a).message_id, chr(30)), COALESCE((a).sequence_number, chr(30))), (0)::bigint)

CREATE OR REPLACE FUNCTION outbox.drop_archived(p_number bigint, p_before timestamp with time zone, p_exported boolean)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    size    constant bigint := outbox.partition_size();
    resting text := outbox.partition_name('archive', p_number);
    before  constant timestamptz := least(p_before, clock_timestamp() - (select s.keep from outbox.settings s));
    young   boolean;
    found   record;
    written record;
begin
    if not p_exported and (select s.export_required from outbox.settings s) then
        raise exception 'rows leave the archive only after their export: set export_required of outbox.settings to false to remove them without'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    if to_regclass(format('outbox.%I', resting)) is null then
        return 'gone';
    end if;
    if p_number >= outbox.current_partition()
       or to_regclass(format('outbox.%I', outbox.partition_name('events', p_number))) is not null then
        return 'open';
    end if;
    -- From here on other transactions can read the partition, and not write to it.
    execute format('lock table only outbox.%I in share mode', resting);
    execute format('select exists (select from outbox.%I where sent_at >= $1)', resting) into young using before;
    if young then
        return 'young';
    end if;
    if p_exported then
        execute format('select count(*) as rows, coalesce(sum(outbox.digest(a)), 0) as digest from outbox.archive a where a.id >= $1 and a.id < $2')
        into found using p_number * size, (p_number + 1) * size;
        select coalesce(sum(x.rows), 0)::bigint as rows, coalesce(sum(x.digest), 0) as digest into written
        from outbox.exports x where x.number = p_number and x.removed_at is null;
        if found is distinct from written then
            return 'changed';
        end if;
    end if;
    lock table only outbox.archive in access exclusive mode;
    execute format('lock table only outbox.%I, outbox.archive_default in access exclusive mode nowait', resting);
    execute format('drop table outbox.%I', resting);
    update outbox.exports set removed_at = clock_timestamp() where number = p_number and removed_at is null;
    return 'done';
exception
    when lock_not_available or deadlock_detected then
        return 'locked';
end
$function$

CREATE OR REPLACE FUNCTION outbox.drop_vacant(p_number bigint)
 RETURNS TABLE(outcome text, seconds double precision)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    child  text := outbox.partition_name('events', p_number);
    began  timestamptz := clock_timestamp();
    before text[];
    found  boolean;
begin
    seconds := 0;
    outcome := case
        when not outbox.lock_partitions(false) then 'busy'
        when to_regclass(format('outbox.%I', child)) is null then 'gone'
        when p_number >= outbox.current_partition() then 'open'
        else 'locked'
    end;
    if outcome = 'locked' then
        execute format('select exists (select from outbox.%I)', child) into found;
        if found then
            outcome := 'full';
        end if;
    end if;
    -- Where this took long, it read rows that vacuum has not removed yet, and the
    -- look under the lock would take as long.
    if outcome <> 'locked' or clock_timestamp() - began > interval '50 ms' then
        return next;
        return;
    end if;
    before := outbox.lock_holders();
    if before <> '{}' then
        perform pg_sleep(0.02);
        if before && outbox.lock_holders() then
            return next;
            return;
        end if;
    end if;
    began := clock_timestamp();
    begin
        lock table only outbox.events in access exclusive mode;
        execute format('lock table only outbox.%I, outbox.events_default in access exclusive mode nowait', child);
        execute format('select exists (select from outbox.%I)', child) into found;
        outcome := 'full';
        if not found then
            execute format('drop table outbox.%I', child);
            outcome := 'done';
        end if;
    exception
        when lock_not_available or deadlock_detected then
            outcome := 'locked';
    end;
    seconds := extract(epoch from clock_timestamp() - began);
    return next;
end
$function$

CREATE OR REPLACE FUNCTION outbox.end_dlq_redrive(p_id bigint, p_answer json)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    update outbox.dlq_redrives d
    set ended_at = clock_timestamp(), answer = p_answer
    where d.redrive_id = p_id and d.login = session_user and d.ended_at is null
    returning true;
$function$

CREATE OR REPLACE FUNCTION outbox.end_janitor()
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    update outbox.janitor set ended_at = clock_timestamp();
$function$

CREATE OR REPLACE FUNCTION outbox.enqueue(aggregate_type text, aggregate_id text, event_type text, payload json, destination text DEFAULT 'default'::text, headers json DEFAULT NULL::json, event_id uuid DEFAULT NULL::uuid)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    assigned uuid := coalesce(enqueue.event_id, outbox.uuidv7());
begin
    insert into outbox.events (event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers)
    values (
        assigned, enqueue.aggregate_type, enqueue.aggregate_id, enqueue.event_type,
        coalesce(enqueue.destination, 'default'), enqueue.payload, enqueue.headers);
    return assigned;
end
$function$

CREATE OR REPLACE FUNCTION outbox.expire_relays(p_before timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
AS $function$
declare
    expired bigint;
begin
    perform outbox.lock_leases();
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < least(p_before, clock_timestamp())
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps, r.destinations, r.lows
    ), freed as (
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then g.low else s.low end,
            gaps = case when s.covered then g.gaps else s.gaps end,
            destinations = case when s.covered then g.destinations else s.destinations end,
            lows = case when s.covered then g.lows else s.lows end
        from gone g
        where s.owner = g.relay_id
    )
    select count(*) into expired from gone;
    return expired;
end
$function$

CREATE OR REPLACE FUNCTION outbox.find_replay(p_replay uuid, p_limit integer)
 RETURNS SETOF outbox.replays
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    r      outbox.replays;
    looked bigint;
    last   bigint;
    listed bigint;
begin
    select x.* into r from outbox.replays x where x.replay_id = p_replay for update;
    if not found or r.searched_at is not null then
        return query select x.* from outbox.replays x where x.replay_id = p_replay;
        return;
    end if;
    if r.event_ids is not null then
        insert into outbox.replay_events (replay_id, id, aggregate)
        select p_replay, s.id, hashtextextended(s.aggregate_id, hashtextextended(s.aggregate_type, 0))
        from outbox.find_sent(r.event_ids, r.created_at) s
        where s.id > r.through and s.id <= r.last_id
          and (r.destination is null or s.destination = r.destination)
          and (r.aggregate_type is null or s.aggregate_type = r.aggregate_type)
          and (r.aggregate_id is null or s.aggregate_id = r.aggregate_id)
          and (r.event_type is null or s.event_type = r.event_type)
          and (r.created_from is null or s.created_at >= r.created_from)
          and (r.created_to is null or s.created_at < r.created_to);
        get diagnostics listed = row_count;
        last := r.last_id;
    else
        with page as materialized (
            select s.* from outbox.search_replay(
                r.through, r.last_id, r.created_at, p_limit,
                r.destination, r.aggregate_type, r.aggregate_id, r.event_type, r.created_from, r.created_to) s
        ), added as (
            insert into outbox.replay_events (replay_id, id, aggregate)
            select p_replay, p.id, p.aggregate from page p where p.wanted
            returning 1
        )
        select (select count(*) from page), (select max(p.id) from page p), (select count(*) from added)
        into looked, last, listed;
        if looked < p_limit then
            last := r.last_id;
        end if;
    end if;
    return query
    update outbox.replays x
    set through = last,
        found = x.found + listed,
        searched_at = case when last >= r.last_id then clock_timestamp() end
    where x.replay_id = p_replay
    returning x.*;
end
$function$

CREATE OR REPLACE FUNCTION outbox.find_sent(p_event_ids uuid[], p_before timestamp with time zone)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, aggregate_type text, aggregate_id text, event_type text, destination text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select e.id, e.created_at, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
    from outbox.events e
    where e.event_id = any (p_event_ids) and e.sent_at < p_before and e.replay_of is null
    union all
    select a.id, a.created_at, a.event_id, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
    from outbox.archive a
    where a.event_id = any (p_event_ids) and a.sent_at < p_before and a.replay_of is null;
$function$

CREATE OR REPLACE FUNCTION outbox.forget_exports(p_number bigint)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    delete from outbox.exports x where x.number = p_number and x.removed_at is null;
$function$

CREATE OR REPLACE FUNCTION outbox.grant_function(p_function text, p_roles text[] DEFAULT '{}'::text[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    prefix constant text := (select s.role_prefix from outbox.settings s);
    known  text[] := coalesce((select f.roles from outbox.functions f where f.name = p_function), '{}');
    given  record;
begin
    insert into outbox.functions as f (name, roles) values (p_function, p_roles)
    on conflict (name) do update set roles = excluded.roles;
    execute format('revoke all on function outbox.%I from public', p_function);
    for given in
        select r.rolname, n.name = any (p_roles) as wanted
        from unnest(known || p_roles) as n (name)
        join pg_roles r on r.rolname = prefix || substr(n.name, length('outbox') + 1)
    loop
        if given.wanted then
            execute format('grant execute on function outbox.%I to %I', p_function, given.rolname);
        else
            execute format('revoke execute on function outbox.%I from %I', p_function, given.rolname);
        end if;
    end loop;
end
$function$

CREATE OR REPLACE FUNCTION outbox.grant_roles()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION outbox.health(p_alarm interval, p_limit integer)
 RETURNS json
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    at      timestamptz := clock_timestamp();
    current constant bigint := outbox.current_partition();
    ahead   bigint := 0;
begin
    while to_regclass(format('outbox.%I', outbox.partition_name('events', current + ahead))) is not null loop
        ahead := ahead + 1;
    end loop;
    return (
        with unsent as materialized (
            select u.*
            from outbox.unknown_destinations('{}') as d
            cross join lateral (
                select e.id, e.created_at, e.shard, e.destination, e.aggregate_type, e.aggregate_id
                from outbox.events e
                where e.destination = d.name and e.sent_at is null
                order by e.destination, e.id
                limit p_limit
            ) as u
            limit p_limit
        ), positions as materialized (
            select s.shard,
                   case when s.covered then coalesce(r.gaps, s.gaps) else s.gaps end as gaps,
                   case when s.covered then coalesce(r.destinations, s.destinations) else s.destinations end as destinations,
                   case when s.covered then coalesce(r.lows, s.lows) else s.lows end as lows
            from outbox.shards s left join outbox.relays r on r.relay_id = s.owner
        ), holders as (
            select 'transaction' as kind, a.backend_xmin as xmin, a.xact_start as since,
                   concat_ws(' ', 'pid', a.pid, a.usename, nullif(a.application_name, ''), a.state) as who
            from pg_stat_activity a
            where a.backend_xmin is not null and a.pid <> pg_backend_pid()
            union all
            select 'prepared transaction', p.transaction, p.prepared, p.gid from pg_prepared_xacts p
            union all
            select 'replication slot', x.xmin, null, s.slot_name
            from pg_replication_slots s cross join lateral (values (s.xmin), (s.catalog_xmin)) as x (xmin)
            where x.xmin is not null
        )
        select json_build_object(
            'now', at,
            'last_run', (select j.ended_at from outbox.janitor j),
            'partitions_ahead', ahead - 1,
            'events_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.events'::regclass) - 1,
            'archive_partitions', (select count(*) from pg_inherits i where i.inhparent = 'outbox.archive'::regclass) - 1,
            'unsent', (select count(*) from unsent),
            'behind', (
                select count(*) from unsent u join positions p on p.shard = u.shard
                where u.id <= p.lows[array_position(p.destinations, u.destination)] and not p.gaps @> u.id and u.created_at < at - interval '1 minute'
                  and not exists (
                      select from outbox.blocked b
                      where (b.destination, b.aggregate_type, b.aggregate_id) = (u.destination, u.aggregate_type, u.aggregate_id))),
            'stale', (select count(*) from unsent u where u.created_at < at - p_alarm),
            'oldest_seconds', coalesce((select extract(epoch from at - min(u.created_at)) from unsent u), 0),
            'default_rows', (select count(*) from (select from outbox.events_default limit p_limit) as d),
            'archive_default_rows', (select count(*) from (select from outbox.archive_default limit p_limit) as d),
            'blocked', (select count(*) from outbox.blocked b where b.released_at is null),
            'blocked_seconds', coalesce((select extract(epoch from at - min(b.blocked_at)) from outbox.blocked b where b.released_at is null), 0),
            'dead_letters', (select count(*) from (select from outbox.dead_letters limit p_limit) as d),
            'dead_letter_seconds', coalesce((select extract(epoch from at - min(d.dead_at)) from (select o.dead_at from outbox.dead_letters o order by o.id limit p_limit) as d), 0),
            'dead_tuples', (
                select coalesce(sum(t.n_dead_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'live_tuples', (
                select coalesce(sum(t.n_live_tup), 0) from pg_stat_all_tables t
                where t.schemaname = 'outbox' and (t.relname ~ '^events_' or t.relname in ('shards', 'relays'))),
            'last_autovacuum', (
                select max(t.last_autovacuum) from pg_stat_all_tables t where t.schemaname = 'outbox' and t.relname ~ '^events_'),
            'bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.events'::regclass),
            'archive_bytes', (
                select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint from pg_inherits i where i.inhparent = 'outbox.archive'::regclass),
            'xmin', (
                select json_build_object('kind', h.kind, 'who', h.who, 'transactions', age(h.xmin),
                                         'seconds', coalesce(extract(epoch from at - h.since), 0))
                from holders h order by age(h.xmin) desc, h.since limit 1)));
end
$function$

CREATE OR REPLACE FUNCTION outbox.join_relay(p_relay uuid, p_name text, p_ttl interval, p_run_for interval, p_window interval, p_relays integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the relay needs the isolation level read committed, the session has %',
            current_setting('transaction_isolation')
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'alter role <the relay''s login> set default_transaction_isolation = ''read committed''';
    end if;
    perform outbox.lock_leases();
    at := clock_timestamp();
    if (select count(*) from outbox.relays r
        where r.relay_id <> p_relay and not r.leaving
          and r.lease_until > at and r.run_until > at + p_window) >= p_relays then
        return false;
    end if;
    insert into outbox.relays (relay_id, name, started_at, run_until, lease_until)
    values (p_relay, p_name, at, at + p_run_for, at + p_ttl)
    on conflict (relay_id) do update set lease_until = excluded.lease_until;
    return true;
end
$function$

CREATE OR REPLACE FUNCTION outbox.last_id()
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    return (select case when s.is_called then s.last_value else s.last_value - 1 end from outbox.events_id_seq s);
end
$function$

CREATE OR REPLACE FUNCTION outbox.leave_relay(p_relay uuid, p_era bigint, p_known_shards smallint[], p_known_epochs bigint[], p_low bigint, p_gap_from bigint[], p_gap_to bigint[], p_names text[], p_lows bigint[])
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    last   outbox.relays;
    placed boolean;
begin
    perform outbox.lock_leases();
    placed := p_era = outbox.current_era() and p_low <= outbox.last_id() and (p_low <> 0 or cardinality(p_gap_from) > 0);
    delete from outbox.relays r where r.relay_id = p_relay returning r.* into last;
    if not found then
        return false;
    end if;
    if placed then
        last.low := p_low;
        last.gaps := outbox.ranges(p_gap_from, p_gap_to);
        last.destinations := p_names;
        last.lows := p_lows;
    end if;
    with owned as (
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
        low = case when o.covered then last.low else s.low end,
        gaps = case when o.covered then last.gaps else s.gaps end,
        destinations = case when o.covered then last.destinations else s.destinations end,
        lows = case when o.covered then last.lows else s.lows end
    from owned o
    where s.shard = o.shard;
    return true;
end
$function$

CREATE OR REPLACE FUNCTION outbox.list_archive(p_limit integer)
 RETURNS TABLE(number bigint, closed boolean, oldest timestamp with time zone, newest timestamp with time zone, rows bigint, bytes bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    current constant bigint := outbox.current_partition();
    child   regclass;
begin
    for child, number, rows, bytes in
        select c.oid::regclass, substring(c.relname from '^archive_p(\d+)$')::bigint as n,
               greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.archive'::regclass and c.relname ~ '^archive_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current and to_regclass(format('outbox.%I', outbox.partition_name('events', number))) is null;
        execute format('select (select a.sent_at from %1$s a order by a.id limit 1),'
                       ' (select a.sent_at from %1$s a order by a.id desc limit 1)', child)
        into oldest, newest;
        return next;
    end loop;
end
$function$

CREATE OR REPLACE FUNCTION outbox.list_blocked(p_limit integer, p_examine integer, p_destination text, p_type text, p_id text)
 RETURNS json
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
    with pending as materialized (
        select u.*
        from (select distinct b.destination from outbox.blocked b) as d
        cross join lateral (
            select e.destination, e.aggregate_type, e.aggregate_id
            from outbox.events e
            where e.destination = d.destination and e.sent_at is null
            order by e.destination, e.id
            limit p_examine
        ) as u
    )
    select coalesce(json_agg(json_strip_nulls(json_build_object(
        'first_id', x.first_id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
        'aggregate_id', x.aggregate_id, 'blocked_at', x.blocked_at, 'released_at', x.released_at, 'reason', x.reason,
        'dead_letter', x.dead_letter, 'waiting', x.waiting)) order by x.first_id), '[]')
    from (
        select b.first_id, b.event_id, b.destination, b.aggregate_type, b.aggregate_id, b.blocked_at, b.released_at, b.reason,
               exists (
                   select from outbox.dead_letters d
                   where d.event_id = b.event_id
                     and (d.destination, d.aggregate_type, d.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as dead_letter,
               (select count(*) from pending p
                where (p.destination, p.aggregate_type, p.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)) as waiting
        from outbox.blocked b
        where (p_destination is null or b.destination = p_destination)
          and (p_type is null or b.aggregate_type = p_type)
          and (p_id is null or b.aggregate_id = p_id)
        order by b.first_id
        limit p_limit
    ) as x
$function$

CREATE OR REPLACE FUNCTION outbox.list_dead_letters(p_after bigint, p_limit integer, p_content boolean, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS json
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    return (
        select coalesce(json_agg(json_build_object(
            'id', x.id, 'event_id', x.event_id, 'destination', x.destination, 'aggregate_type', x.aggregate_type,
            'aggregate_id', x.aggregate_id, 'event_type', x.event_type, 'replays', x.replays, 'created_at', x.created_at,
            'dead_at', x.dead_at, 'attempts', x.attempts, 'code', x.code, 'reason', x.reason, 'blocks', x.blocks,
            'payload', x.payload::text, 'headers', x.headers) order by x.id), '[]')
        from (
            select d.id, d.event_id, d.destination, d.aggregate_type, d.aggregate_id, d.event_type, d.replays, d.created_at,
                   d.dead_at, d.attempts, d.code, d.reason,
                   case when p_content then d.payload end as payload,
                   case when p_content then d.headers end as headers,
                   exists (
                       select from outbox.blocked b
                       where (b.destination, b.aggregate_type, b.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id)
                         and b.event_id = d.event_id) as blocks
            from outbox.dead_letters d
            where d.id > p_after
              and outbox.passes(d, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to)
            order by d.id
            limit p_limit
        ) as x);
end
$function$

CREATE OR REPLACE FUNCTION outbox.list_dlq_redrives(p_limit integer)
 RETURNS json
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select coalesce(json_agg(json_build_object(
        'redrive_id', d.redrive_id, 'started_at', d.started_at, 'ended_at', d.ended_at, 'login', d.login, 'request_id', d.request_id,
        'queue', d.queue, 'send_to', d.send_to, 'request', d.request, 'answer', d.answer) order by d.redrive_id desc), '[]')
    from (select * from outbox.dlq_redrives x order by x.redrive_id desc limit p_limit) as d
$function$

CREATE OR REPLACE FUNCTION outbox.list_events(p_limit integer)
 RETURNS TABLE(number bigint, closed boolean, archived boolean, sealed boolean, vacant boolean, unsent boolean, newest timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    current constant bigint := outbox.current_partition();
    child   regclass;
begin
    for child, number in
        select c.oid::regclass, substring(c.relname from '^events_p(\d+)$')::bigint as n
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'outbox.events'::regclass and c.relname ~ '^events_p\d+$'
        order by n
        limit p_limit
    loop
        closed := number < current;
        archived := to_regclass(format('outbox.%I', outbox.partition_name('archive', number))) is not null;
        sealed := exists (select from pg_constraint k where k.conrelid = child and k.conname = 'being_archived');
        -- An empty partition of the future needs no look.
        if number > current then
            vacant := true;
            unsent := false;
            newest := null;
        else
            execute format('select not exists (select from %1$s), exists (select from %1$s where sent_at is null),'
                           ' (select e.sent_at from %1$s e order by e.id desc limit 1)', child)
            into vacant, unsent, newest;
        end if;
        return next;
    end loop;
end
$function$

CREATE OR REPLACE FUNCTION outbox.list_writers()
 RETURNS SETOF text
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    return query
    select l.virtualtransaction
    from pg_locks l
    where l.locktype = 'relation'
      and l.mode = 'RowExclusiveLock'
      and l.granted
      and l.relation = 'outbox.events'::regclass
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
    order by 1;
end
$function$

CREATE OR REPLACE FUNCTION outbox.lock_aggregate(aggregate_type text, aggregate_id text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT pg_advisory_xact_lock(hashtextextended(aggregate_id, hashtextextended(aggregate_type, (7)::bigint))) AS pg_advisory_xact_lock;
END

CREATE OR REPLACE FUNCTION outbox.lock_holders()
 RETURNS text[]
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select array(
        select l.virtualtransaction
        from pg_locks l
        where l.locktype = 'relation' and l.relation = 'outbox.events'::regclass and l.granted
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.virtualtransaction <> (
              select v.virtualtransaction from pg_locks v where v.pid = pg_backend_pid() limit 1))
$function$

CREATE OR REPLACE FUNCTION outbox.lock_leases()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    perform from outbox.locks l where l.name = 'leases' for update;
    if not found then
        raise exception 'outbox.locks has no row leases: run outbox migrate' using errcode = 'undefined_table';
    end if;
end
$function$

CREATE OR REPLACE FUNCTION outbox.lock_partitions(p_wait boolean)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    if p_wait then
        perform from outbox.locks l where l.name = 'partitions' for update;
        if not found then
            raise exception 'outbox.locks has no row partitions: run outbox migrate' using errcode = 'undefined_table';
        end if;
    else
        perform from outbox.locks l where l.name = 'partitions' for update skip locked;
    end if;
    return found;
end
$function$

CREATE OR REPLACE FUNCTION outbox.lookup(p_event_id uuid)
 RETURNS TABLE(rows json, redrives json)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION outbox.make_archive(p_number bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    size    constant bigint := outbox.partition_size();
    resting constant text := outbox.partition_name('archive', p_number);
begin
    if to_regclass(format('outbox.%I', resting)) is not null then
        return;
    end if;
    execute format('create table outbox.%I (like outbox.archive including generated including storage including compression,'
                   ' constraint ids_of_this_partition check (id >= %s and id < %s))',
        resting, p_number * size, (p_number + 1) * size);
    execute format('alter table outbox.archive attach partition outbox.%I for values from (%s) to (%s)',
        resting, p_number * size, (p_number + 1) * size);
end
$function$

CREATE OR REPLACE FUNCTION outbox.make_partition(number bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
declare
    size   constant bigint := outbox.partition_size();
    child  text := outbox.partition_name('events', number);
    newest constant bigint := outbox.current_partition();
    strays boolean;
begin
    perform outbox.lock_partitions(true);
    if number not between newest and newest + 1000 then
        raise exception 'make_partition: number must be % to %, is %', newest, newest + 1000, number;
    end if;
    if to_regclass(format('outbox.%I', child)) is not null then
        return false;
    end if;
    -- An insert that was on its way to outbox.events_default would fail when a
    -- partition for its id is attached. So it ends first, and later ones wait.
    if number <= newest + 1 then
        lock table outbox.events in share row exclusive mode;
    end if;
    select exists (
        select from outbox.events_default d
        where d.id >= number * size and d.id < (number + 1) * size) into strays;
    if strays then
        raise notice 'outbox.events_default holds ids from % on, so that % cannot be made', number * size, child;
        return false;
    end if;
    -- Writers would wait for CREATE TABLE ... PARTITION OF, and not for a table
    -- that is attached. The check on the ids lets the partition move to the
    -- archive without being read.
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
$function$

CREATE OR REPLACE FUNCTION outbox.make_partitions(ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    made   integer := 0;
    number bigint;
begin
    if ahead not between 0 and 1000 then
        raise exception 'make_partitions: ahead must be 0 to 1000, is %', ahead;
    end if;
    for number in
        select generate_series(outbox.current_partition(), outbox.current_partition() + ahead)
    loop
        made := made + outbox.make_partition(number)::integer;
    end loop;
    return made;
end
$function$

CREATE OR REPLACE FUNCTION outbox.move_sent(p_number bigint, p_from bigint, p_before timestamp with time zone, p_limit integer)
 RETURNS TABLE(outcome text, moved bigint, kept bigint, next bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    size   constant bigint := outbox.partition_size();
    source regclass := to_regclass(format('outbox.%I', coalesce(outbox.partition_name('events', p_number), 'events_default')));
    number bigint := p_number;
    found  boolean;
    looked bigint;
    last   bigint;
    young  boolean;
    columns  text;
    excluded text;
begin
    moved := 0;
    kept := 0;
    outcome := 'busy';
    if not outbox.lock_partitions(false) then
        return next;
        return;
    end if;
    outcome := 'done';
    if source is null or p_before > clock_timestamp() then
        return next;
        return;
    end if;
    if number is null then
        execute format('select e.id / $2 from %s e where e.id >= $1 order by e.id limit 1', source)
        into number using p_from, size;
    end if;
    -- A partition that nothing was moved from can go to the archive as a whole.
    execute format('select coalesce(bool_or(s.sent_at < $3), false) from ('
                   'select e.sent_at from %s e where e.id >= $1 and e.id < $2 order by e.id limit $4) as s', source)
    into found using greatest(p_from, number * size), (number + 1) * size, p_before, p_limit;
    if found then
        begin
            perform outbox.make_archive(number);
        exception
            when lock_not_available or deadlock_detected then
                outcome := 'locked';
                return next;
                return;
        end;
    end if;
    select string_agg(format('%I', a.attname), ', ' order by a.attnum), string_agg(format('excluded.%I', a.attname), ', ' order by a.attnum)
    into columns, excluded
    from pg_attribute a
    where a.attrelid = 'outbox.archive'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    execute format($move$
        with seen as materialized (
            select e.id, e.created_at >= $3 as young
            from %1$s e
            where e.id >= $1 and e.id < $2
            order by e.id
            limit $4
        ), picked as materialized (
            select e.id, exists (select from outbox.archive a where a.id = e.id and a.event_id <> e.event_id) as taken
            from %1$s e
            where e.id in (select s.id from seen s) and e.sent_at < $3
            for update skip locked
        ), gone as (
            delete from %1$s e
            where e.id in (select p.id from picked p where not p.taken) and e.sent_at is not null
            returning e.*
        ), added as (
            insert into outbox.archive (%2$s)
            select %2$s from gone
            -- A row that came back from the archive to be sent again is there twice.
            on conflict (id) do update set (%2$s) = row (%3$s)
            returning 1
        )
        select (select count(*) from added), (select count(*) from picked p where p.taken),
               count(*), max(s.id), coalesce(bool_and(s.young), false)
        from seen s
    $move$, source, columns, excluded)
    into moved, kept, looked, last, young
    using greatest(p_from, number * size), (number + 1) * size, p_before, p_limit;
    next := case
        when young then null
        when looked = p_limit then last + 1
        when p_number is null and looked > 0 then (number + 1) * size
    end;
    return next;
end
$function$

CREATE OR REPLACE FUNCTION outbox.nests_at_most_4000(document json)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    with pieces as (
        select length(rtrim(p.piece, ']')) as ups, length(p.piece) as steps, p.place
        from string_to_table(
            translate(regexp_replace(document::text, '(?:"(?:[^"\\]|\\.)*"|[^][{}"])+', '', 'g'), '{}', '[]'), '][')
            with ordinality as p (piece, place)
    ), tops as (
        select sum(ups - (steps - ups)) over (order by place) + (steps - ups) as level from pieces
    )
    select coalesce(max(level), 0) <= 4000 from tops
$function$

CREATE OR REPLACE FUNCTION outbox.next_generation(p_event uuid)
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    select coalesce(max(g.replays), 0) + 1
    from (
        select e.replays from outbox.events e where e.event_id = p_event
        union all
        select a.replays from outbox.archive a where a.event_id = p_event
        union all
        select d.replays from outbox.dead_letters d where d.event_id = p_event
    ) as g
$function$

CREATE OR REPLACE FUNCTION outbox.partition_name(kind text, number bigint)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
RETURN ((kind || '_p'::text) || lpad((number)::text, GREATEST(6, length((number)::text)), '0'::text))

CREATE OR REPLACE FUNCTION outbox.partition_size()
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN 1000000

CREATE OR REPLACE FUNCTION outbox.passes(d outbox.dead_letters, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
RETURN (((p_event_ids IS NULL) OR ((d).event_id = ANY (p_event_ids))) AND ((p_destination IS NULL) OR ((d).destination = p_destination)) AND ((p_type IS NULL) OR ((d).aggregate_type = p_type)) AND ((p_id IS NULL) OR ((d).aggregate_id = p_id)) AND ((p_event_type IS NULL) OR ((d).event_type = p_event_type)) AND ((p_from IS NULL) OR ((d).created_at >= p_from)) AND ((p_to IS NULL) OR ((d).created_at < p_to)) AND ((p_id_from IS NULL) OR ((d).id >= p_id_from)) AND ((p_id_to IS NULL) OR ((d).id <= p_id_to)))

CREATE OR REPLACE FUNCTION outbox.put_back(d outbox.dead_letters, p_redirect text, p_source text, p_request text)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    target     text := coalesce(p_redirect, d.destination);
    generation integer := outbox.next_generation(d.event_id);
    violated   text;
begin
    begin
        insert into outbox.events (
            id, created_at, replay_of, event_id, replays, aggregate_type, aggregate_id, event_type,
            destination, payload, headers)
        overriding system value
        values (
            d.id, d.created_at, d.replay_of, d.event_id, generation, d.aggregate_type, d.aggregate_id, d.event_type,
            target, d.payload, d.headers);
    exception
        when check_violation or not_null_violation or unique_violation then
            get stacked diagnostics violated = constraint_name;
            return case when violated = 'being_archived' then 'archiving' else 'refused' end;
    end;
    delete from outbox.dead_letters x where (x.id, x.event_id) = (d.id, d.event_id);

    -- No two releases of a lane have the same time: it tells them apart.
    insert into outbox.blocked as b (
        first_id, released_at, event_id, shard, destination, aggregate_type, aggregate_id, reason)
    values (d.id, clock_timestamp(), d.event_id, d.shard, target, d.aggregate_type, d.aggregate_id, 'redriven')
    on conflict (destination, aggregate_type, aggregate_id) do update
    set first_id = least(b.first_id, excluded.first_id),
        released_at = case
            when b.released_at is not null then greatest(excluded.released_at, b.released_at + interval '1 microsecond')
            when b.event_id = excluded.event_id then excluded.released_at
        end;

    insert into outbox.redrives (
        row_id, event_id, generation, attempts, source, request_id, destination, code, reason)
    values (d.id, d.event_id, generation, d.attempts, p_source, p_request, target, d.code, d.reason);
    return 'redriven';
end
$function$

CREATE OR REPLACE FUNCTION outbox.ranges(p_from bigint[], p_to bigint[])
 RETURNS int8multirange
 LANGUAGE sql
 IMMUTABLE
RETURN (SELECT COALESCE(range_agg(int8range(g.a, g.b, '[]'::text)), '{}'::int8multirange) AS "coalesce" FROM UNNEST(ranges.p_from, ranges.p_to) g(a, b))

CREATE OR REPLACE FUNCTION outbox.read_backlog(p_destinations text[], p_lows bigint[], p_limit integer)
 RETURNS TABLE(pending bigint, oldest double precision)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
begin
    return query
    select count(*), coalesce(extract(epoch from clock_timestamp() - min(p.created_at)), 0)::double precision
    from (
        select found.created_at
        from (
            select * from unnest(p_destinations, p_lows)
            union all
            select u.name, 0 from outbox.unknown_destinations(p_destinations) as u
        ) as d (name, low)
        cross join lateral (
            select e.created_at
            from outbox.events e
            where e.destination = d.name and e.sent_at is null and e.id > d.low
            order by e.destination, e.id
            limit p_limit
        ) as found
        limit p_limit
    ) as p;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_content(p_ids bigint[])
 RETURNS TABLE(id bigint, event_id uuid, replays integer, payload json, headers json)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
#variable_conflict use_column
begin
    return query
    select e.id, e.event_id, e.replays, e.payload, e.headers
    from outbox.events e
    where e.id = any (p_ids)
      and e.id between p_ids[1] and p_ids[cardinality(p_ids)]
      and e.message_id is null;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_deferred(p_destination text, p_type text, p_id text, p_from bigint, p_before bigint, p_shards smallint[], p_examine integer, p_limit integer, p_blocked boolean, p_payload integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, replay_of bigint, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer, place bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
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
           case when r.wanted and r.payload_bytes <= p_payload then r.payload end,
           case when r.wanted and r.payload_bytes <= p_payload then r.headers end,
           case when r.wanted then r.payload_bytes end,
           r.place
    from (
        select e.*,
               row_number() over () as place,
               e.shard = any (p_shards)
               and (p_id = '' or e.aggregate_type = p_type and e.aggregate_id = p_id)
               and (p_blocked or not exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id)) as wanted
        from (
            select * from outbox.events x
            where x.destination = p_destination and x.sent_at is null and x.id >= p_from and x.id < p_before
            order by x.destination, x.id
            limit p_examine
        ) as e
    ) as r
    where r.wanted or r.place = p_examine
    limit p_limit;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_era(OUT era bigint, OUT last_id bigint)
 RETURNS record
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    era := outbox.current_era();
    last_id := outbox.last_id();
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_gaps(p_from bigint[], p_to bigint[], p_shards smallint[], p_limit integer, p_payload integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, replay_of bigint, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer, blocked boolean)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
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
           case when r.mine and not r.blocked and r.payload_bytes <= p_payload then r.payload end,
           case when r.mine and not r.blocked and r.payload_bytes <= p_payload then r.headers end,
           case when r.mine then r.payload_bytes end,
           r.mine and r.blocked
    from unnest(p_from, p_to) as g (first, last)
    cross join lateral (
        select e.*,
               e.sent_at is null and e.shard = any (p_shards) as mine,
               e.sent_at is null and exists (
                   select from outbox.blocked b
                   where b.destination = e.destination
                     and b.aggregate_type = e.aggregate_type
                     and b.aggregate_id = e.aggregate_id
               ) as blocked
        from outbox.events e
        where e.id between g.first and g.last
          and e.id between p_from[1] and p_to[cardinality(p_to)]
        order by e.id
        limit p_limit
    ) as r
    limit p_limit;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_new(p_after bigint, p_shards smallint[], p_limit integer, p_payload integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, replay_of bigint, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
declare
    last constant bigint := outbox.last_id();
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
           case when r.mine and r.payload_bytes <= p_payload then r.payload end,
           case when r.mine and r.payload_bytes <= p_payload then r.headers end,
           case when r.mine then r.payload_bytes end
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
        where e.id > p_after and e.id <= last
        order by e.id
        limit p_limit
    ) as r
    order by r.id;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_status(p_limit integer)
 RETURNS json
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
    with recursive names as (
        (select e.destination as name from outbox.events e where e.sent_at is null order by e.destination limit 1)
        union all
        select (
            select e.destination from outbox.events e
            where e.sent_at is null and e.destination > n.name
            order by e.destination limit 1)
        from names n
        where n.name is not null
    ), configured as materialized (
        select unnest(r.destinations) as name from outbox.relays r
        union
        select unnest(s.destinations) from outbox.shards s where s.owner is null
    ), destinations as materialized (
        select n.name as destination, count(*) as pending, min(u.created_at) as oldest,
               exists (select from configured) and not exists (select from configured c where c.name = n.name) as unknown
        from names n
        cross join lateral (
            select e.created_at
            from outbox.events e
            where e.destination = n.name and e.sent_at is null
            order by e.destination, e.id
            limit p_limit
        ) as u
        group by n.name
    ), relays as (
        select r.relay_id, r.name, r.started_at, r.run_until, r.lease_until, r.leaving, r.low,
               (select count(*) from outbox.shards s where s.owner = r.relay_id) as shards
        from outbox.relays r
    )
    select json_build_object(
        'now', clock_timestamp(),
        'schema_version', (select coalesce(max(m.version_id), 0) from outbox.migrations m where m.is_applied),
        'pending', (select least(coalesce(sum(d.pending), 0), p_limit)::bigint from destinations d),
        'destinations', (select coalesce(json_agg(d order by d.destination), '[]') from destinations d),
        'relays', (select coalesce(json_agg(r order by r.started_at desc, r.relay_id desc), '[]') from relays r),
        'shards', (
            select json_agg(json_build_object(
                'shard', s.shard, 'owner', s.owner, 'epoch', s.epoch, 'acquired_at', s.acquired_at) order by s.shard)
            from outbox.shards s),
        'dead_letters', (select count(*) from outbox.dead_letters),
        'blocked', (select count(*) from outbox.blocked b where b.released_at is null))
$function$

CREATE OR REPLACE FUNCTION outbox.read_unsent(p_destinations text[], p_from bigint, p_before bigint, p_shards smallint[], p_limit integer, p_payload integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, replay_of bigint, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, payload_bytes integer, place bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
declare
    first  constant bigint := case when p_before = 0 then greatest(p_from, outbox.last_id() + 1) else p_from end;
    before constant bigint := case when p_before = 0 then 9223372036854775807 else p_before end;
begin
    return query
    select e.id, e.created_at, e.event_id, e.replays, e.replay_of, e.shard,
           e.aggregate_type, e.aggregate_id, e.event_type, e.destination,
           case when e.payload_bytes <= p_payload then e.payload end,
           case when e.payload_bytes <= p_payload then e.headers end,
           e.payload_bytes, 0::bigint
    from unnest(p_destinations) as d (name)
    cross join lateral (
        select *
        from outbox.events x
        where x.destination = d.name
          and x.sent_at is null
          and x.id >= first
          and x.id < before
          and x.shard = any (p_shards)
          and not exists (
              select from outbox.blocked b
              where b.destination = x.destination
                and b.aggregate_type = x.aggregate_type
                and b.aggregate_id = x.aggregate_id
          )
        order by x.destination, x.id
        limit p_limit
    ) as e
    order by e.id
    limit p_limit;
end
$function$

CREATE OR REPLACE FUNCTION outbox.record_export(p_number bigint, p_from bigint, p_to bigint, p_rows bigint, p_digest numeric, p_bytes bigint, p_sha256 text, p_location text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    insert into outbox.exports (number, from_id, to_id, rows, digest, bytes, sha256, location)
    values (p_number, p_from, p_to, p_rows, p_digest, p_bytes, p_sha256, p_location)
    on conflict (location) do update
    set number = excluded.number, from_id = excluded.from_id, to_id = excluded.to_id, rows = excluded.rows, digest = excluded.digest,
        bytes = excluded.bytes, sha256 = excluded.sha256, exported_at = excluded.exported_at, removed_at = null;
    update outbox.settings set export_required = true where not export_required;
$function$

CREATE OR REPLACE FUNCTION outbox.redrive_dead_letters(p_request text, p_after bigint, p_limit integer, p_redirect text, p_confirm boolean, p_dry_run boolean, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS TABLE(id bigint, event_id uuid, destination text, aggregate_type text, aggregate_id text, outcome text, ordered boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
    picked  bigint[];
    events  uuid[];
    d       outbox.dead_letters;
    earlier bigint;
    wanted  bigint;
begin
    -- Dead letters of one id, which are of different events, are not parted: the next call begins above the id.
    select array_agg(n.id order by n.id), array_agg(n.event_id order by n.id) into picked, events
    from (
        select x.id, x.event_id from outbox.dead_letters x
        where x.id > p_after
          and outbox.passes(x, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to)
        order by x.id
        fetch first (p_limit) rows with ties) as n;
    for d in
        select x.* from outbox.dead_letters x
        where x.id = any (picked)
          and exists (select from unnest(picked, events) as n (id, event_id) where (n.id, n.event_id) = (x.id, x.event_id))
        order by x.id, x.event_id
        for update
    loop
        id := d.id;
        event_id := d.event_id;
        destination := d.destination;
        aggregate_type := d.aggregate_type;
        aggregate_id := d.aggregate_id;
        select count(*), count(*) filter (where outbox.passes(
            x, p_event_ids, p_destination, p_type, p_id, p_event_type, p_from, p_to, p_id_from, p_id_to))
        into earlier, wanted
        from outbox.dead_letters x
        where hashtextextended(x.aggregate_id, hashtextextended(x.aggregate_type, 0))
            = hashtextextended(d.aggregate_id, hashtextextended(d.aggregate_type, 0))
          and x.id < d.id
          and (x.destination, x.aggregate_type, x.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id);
        ordered := coalesce(p_redirect, d.destination) = d.destination
            and exists (
                select from outbox.blocked b
                where (b.destination, b.aggregate_type, b.aggregate_id) = (d.destination, d.aggregate_type, d.aggregate_id)
                  and b.event_id = d.event_id)
            and earlier = 0;
        outcome := case
            when not ordered and not p_confirm then 'unconfirmed'
            when p_dry_run then 'redriven'
            when wanted > 0 then 'behind'
            else outbox.put_back(d, p_redirect, 'dead_letters', p_request)
        end;
        return next;
    end loop;
    -- Dead letters that another call redrove were looked at as well: the last id
    -- tells the caller where to go on.
    if cardinality(picked) > 0 and id is distinct from picked[cardinality(picked)] then
        id := picked[cardinality(picked)];
        event_id := null;
        destination := null;
        aggregate_type := null;
        aggregate_id := null;
        outcome := 'gone';
        ordered := null;
        return next;
    end if;
end
$function$

CREATE OR REPLACE FUNCTION outbox.refuse_encoding()
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    raise untranslatable_character using message =
        format('client_encoding is %s, and texts are sent in UTF8', current_setting('client_encoding'));
end
$function$

CREATE OR REPLACE FUNCTION outbox.release_blocked(p_request text, p_after bigint, p_limit integer, p_skip boolean, p_dry_run boolean, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS TABLE(id bigint, event_id uuid, destination text, aggregate_type text, aggregate_id text, outcome text, ordered boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
    picked outbox.blocked;
    lane   outbox.blocked;
    d      outbox.dead_letters;
    buried boolean;
begin
    for picked in
        select b.* from outbox.blocked b
        where b.released_at is null
          and b.first_id > p_after
          and (p_event_ids is null or b.event_id = any (p_event_ids))
          and (p_destination is null or b.destination = p_destination)
          and (p_type is null or b.aggregate_type = p_type)
          and (p_id is null or b.aggregate_id = p_id)
          and (p_id_from is null or b.first_id >= p_id_from)
          and (p_id_to is null or b.first_id <= p_id_to)
          and (p_event_type is null and p_from is null and p_to is null or exists (
              select from outbox.dead_letters x
              where x.event_id = b.event_id
                and (p_event_type is null or x.event_type = p_event_type)
                and (p_from is null or x.created_at >= p_from)
                and (p_to is null or x.created_at < p_to)))
        order by b.first_id
        fetch first (p_limit) rows with ties
    loop
        id := picked.first_id;
        event_id := picked.event_id;
        destination := picked.destination;
        aggregate_type := picked.aggregate_type;
        aggregate_id := picked.aggregate_id;
        -- The dead letter is locked before the lane, as redrive_dead_letters does.
        select x.* into d from outbox.dead_letters x
        where x.event_id = picked.event_id
          and (x.destination, x.aggregate_type, x.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
        order by x.id
        limit 1
        for update;
        buried := found;
        select b.* into lane from outbox.blocked b
        where (b.destination, b.aggregate_type, b.aggregate_id) = (picked.destination, picked.aggregate_type, picked.aggregate_id)
          and b.event_id = picked.event_id and b.released_at is null
        for update;
        ordered := buried and not p_skip;
        outcome := case
            when not found then 'gone'
            when buried and not p_skip and p_dry_run then 'redriven'
            when buried and not p_skip then outbox.put_back(d, null, 'blocked', p_request)
            when not p_skip then 'unconfirmed'
            else 'released'
        end;
        if outcome = 'released' and not p_dry_run then
            update outbox.blocked b set released_at = clock_timestamp()
            where (b.destination, b.aggregate_type, b.aggregate_id) = (lane.destination, lane.aggregate_type, lane.aggregate_id);
        end if;
        return next;
    end loop;
end
$function$

CREATE OR REPLACE FUNCTION outbox.renew_relay(p_relay uuid, p_era bigint, p_recurred boolean, p_ttl interval, p_relays integer, p_leaving boolean, p_known_shards smallint[], p_known_epochs bigint[], p_release smallint[], p_low bigint, p_gap_from bigint[], p_gap_to bigint[], p_names text[], p_lows bigint[], p_destinations text[], p_types text[], p_ids text[], p_released timestamp with time zone[])
 RETURNS json
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    at       timestamptz;
    mine     outbox.relays;
    placed   boolean;
    now_is   record;
    active   integer;
    rank     integer;
    owned    integer;
    target   integer := 0;
begin
    perform outbox.lock_leases();
    at := clock_timestamp();
    now_is := outbox.begin_era(nullif(p_era, 0), p_low, p_recurred);
    placed := p_era = now_is.era and (p_low <> 0 or cardinality(p_gap_from) > 0 or cardinality(p_ids) > 0);

    update outbox.relays r
    set lease_until = at + p_ttl,
        leaving = r.leaving or p_leaving,
        low = case when placed then p_low else r.low end,
        gaps = case when placed then outbox.ranges(p_gap_from, p_gap_to) else r.gaps end,
        destinations = case when placed then p_names else r.destinations end,
        lows = case when placed then p_lows else r.lows end
    where r.relay_id = p_relay
    returning r.* into mine;
    if not found then
        return null;
    end if;

    update outbox.shards s
    set covered = true
    from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
    where placed and s.owner = p_relay and not s.covered and s.shard = k.shard and s.epoch = k.epoch;

    -- A relay whose row is locked is settling or renewing, and its lease is not
    -- taken over this time.
    with lapsed as materialized (
        select r.relay_id from outbox.relays r
        where r.lease_until < at and r.relay_id <> p_relay
        order by r.relay_id
        for update skip locked
    ), gone as (
        delete from outbox.relays r using lapsed l where r.relay_id = l.relay_id
        returning r.relay_id, r.low, r.gaps, r.destinations, r.lows
    )
    update outbox.shards s
    set owner = null,
        covered = false,
        low = case when s.covered then g.low else s.low end,
        gaps = case when s.covered then g.gaps else s.gaps end,
        destinations = case when s.covered then g.destinations else s.destinations end,
        lows = case when s.covered then g.lows else s.lows end
    from gone g
    where s.owner = g.relay_id;

    if cardinality(p_release) > 0 then
        update outbox.shards s
        set owner = null,
            covered = false,
            low = case when s.covered then mine.low else s.low end,
            gaps = case when s.covered then mine.gaps else s.gaps end,
            destinations = case when s.covered then mine.destinations else s.destinations end,
            lows = case when s.covered then mine.lows else s.lows end
        from unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
        where s.owner = p_relay and s.shard = k.shard and s.epoch = k.epoch and s.shard = any (p_release);
    end if;

    if p_era <> now_is.era then
        update outbox.shards s
        set epoch = s.epoch + 1,
            covered = false,
            low = case when s.covered then mine.low else s.low end,
            gaps = case when s.covered then mine.gaps else s.gaps end,
            destinations = case when s.covered then mine.destinations else s.destinations end,
            lows = case when s.covered then mine.lows else s.lows end
        where s.owner = p_relay;
    end if;

    -- The youngest relays share the work, as many as p_relays says.
    select count(*), count(*) filter (where (r.started_at, r.relay_id) >= (me.started_at, me.relay_id))
    into active, rank
    from outbox.relays r, (select m.started_at, m.relay_id from outbox.relays m where m.relay_id = p_relay) as me
    where r.lease_until >= at and not r.leaving;
    if not mine.leaving and rank <= p_relays then
        target := ceil(64.0 / least(active, p_relays));
    end if;

    select count(*) into owned from outbox.shards s where s.owner = p_relay;
    if owned < target then
        with free as materialized (
            select s.shard from outbox.shards s
            where s.owner is null or not exists (select from outbox.relays r where r.relay_id = s.owner)
            order by s.shard
            limit target - owned
            for update skip locked
        )
        update outbox.shards s
        set owner = p_relay, epoch = s.epoch + 1, covered = false, acquired_at = at
        from free f
        where s.shard = f.shard;
    end if;

    if cardinality(p_ids) > 0 and p_era = now_is.era then
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
        'era', now_is.era,
        'last_id', now_is.last_id,
        'begun', now_is.begun,
        'shards', (
            -- The relay has taken in the positions of the shards that it knows.
            select coalesce(json_agg(case
                when k.shard is null then json_build_object(
                    'shard', s.shard, 'epoch', s.epoch, 'low', s.low,
                    'gaps', (
                        select coalesce(json_agg(json_build_array(lower(g), upper(g) - 1) order by g), '[]')
                        from unnest(s.gaps) as g),
                    'lows', (
                        select coalesce(json_object_agg(d.name, d.low), '{}')
                        from unnest(s.destinations, s.lows) as d (name, low)))
                else json_build_object('shard', s.shard, 'epoch', s.epoch)
            end order by s.shard), '[]')
            from outbox.shards s
            left join unnest(p_known_shards, p_known_epochs) as k (shard, epoch)
                on k.shard = s.shard and k.epoch = s.epoch and p_era = now_is.era
            where s.owner = p_relay),
        'released', (
            select coalesce(json_agg(json_build_object(
                'destination', l.destination, 'aggregate_type', l.aggregate_type, 'aggregate_id', l.aggregate_id,
                'shard', l.shard, 'first_id', l.first_id, 'released_at', l.released_at) order by l.first_id), '[]')
            from (
                -- At most 100 of each destination, so that the lanes of one that
                -- the relay is not configured for do not crowd out the others.
                -- Lanes that the relay names and that still have a row come in
                -- any case.
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
$function$

CREATE OR REPLACE FUNCTION outbox.sample_ids()
 RETURNS TABLE(sampled_at timestamp with time zone, current bigint, ids_per_second double precision)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
AS $function$
declare
    at      timestamptz := clock_timestamp();
    drawn   bigint;
    elapsed double precision;
    mine    outbox.janitor;
begin
    select s.last_value into drawn from outbox.events_id_seq s;
    select j.* into mine from outbox.janitor j for update;
    elapsed := extract(epoch from at - mine.sampled_at);
    if elapsed >= 60 then
        mine.ids_per_second := greatest(
            (drawn - mine.last_id) / elapsed, mine.ids_per_second * 0.5 ^ least(elapsed / 21600, 100));
        update outbox.janitor j
        set sampled_at = at, last_id = drawn, ids_per_second = mine.ids_per_second;
    end if;
    return query select at, drawn / outbox.partition_size(), mine.ids_per_second;
end
$function$

CREATE OR REPLACE FUNCTION outbox.seal_partition(p_number bigint, p_before timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
 SET "DateStyle" TO 'ISO'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    child  text := outbox.partition_name('events', p_number);
    found  boolean;
    newest timestamptz;
begin
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    if not exists (
        select from pg_inherits i
        where i.inhparent = 'outbox.events'::regclass and i.inhrelid = to_regclass(format('outbox.%I', child))) then
        return 'gone';
    end if;
    if p_number >= outbox.current_partition() then
        return 'open';
    end if;
    if to_regclass(format('outbox.%I', outbox.partition_name('archive', p_number))) is not null then
        return 'moved';
    end if;
    execute format('select exists (select from outbox.%I where sent_at is null)', child) into found;
    if found then
        return 'unsent';
    end if;
    execute format('select e.sent_at from outbox.%I e order by e.id desc limit 1', child) into newest;
    if newest >= p_before then
        return 'young';
    end if;
    begin
        execute format('alter table outbox.%I drop constraint if exists being_archived', child);
        execute format('alter table outbox.%I add constraint being_archived check (sent_at is not null and sent_at < %L) not valid',
            child, p_before);
    exception
        when lock_not_available or deadlock_detected then
            return 'locked';
    end;
    return 'done';
end
$function$

CREATE OR REPLACE FUNCTION outbox.search_replay(p_after bigint, p_until bigint, p_before timestamp with time zone, p_limit integer, p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(id bigint, aggregate bigint, wanted boolean)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
begin
    return query
    select r.id,
           hashtextextended(r.aggregate_id, hashtextextended(r.aggregate_type, 0)),
           r.sent_at < p_before
               and r.replay_of is null
               and (p_destination is null or r.destination = p_destination)
               and (p_type is null or r.aggregate_type = p_type)
               and (p_id is null or r.aggregate_id = p_id)
               and (p_event_type is null or r.event_type = p_event_type)
               and (p_from is null or r.created_at >= p_from)
               and (p_to is null or r.created_at < p_to)
    from (
        (select e.id, e.created_at, e.sent_at, e.replay_of, e.aggregate_type, e.aggregate_id, e.event_type, e.destination
         from outbox.events e
         where e.id > p_after and e.id <= p_until
         order by e.id
         limit p_limit)
        union all
        (select a.id, a.created_at, a.sent_at, a.replay_of, a.aggregate_type, a.aggregate_id, a.event_type, a.destination
         from outbox.archive a
         where a.id > p_after and a.id <= p_until
         order by a.id
         limit p_limit)
    ) as r
    order by r.id
    limit p_limit;
end
$function$

CREATE OR REPLACE FUNCTION outbox.set_role_prefix(p_prefix text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    former text;
begin
    if p_prefix !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'the prefix of roles must be a letter and up to 39 letters, digits or underscores, all lower case, is %', p_prefix;
    end if;
    for former in
        select r.rolname
        from outbox.settings s
        cross join unnest(array['writer', 'relay', 'redrive', 'janitor']) as w (name)
        join pg_roles r on r.rolname = s.role_prefix || '_' || w.name
        where s.role_prefix <> p_prefix
    loop
        execute format('revoke all on schema outbox from %I', former);
        execute format('revoke all on all tables in schema outbox from %I', former);
        execute format('revoke all on all sequences in schema outbox from %I', former);
        execute format('revoke all on all functions in schema outbox from %I', former);
    end loop;
    update outbox.settings set role_prefix = p_prefix;
    perform outbox.grant_roles();
end
$function$

CREATE OR REPLACE FUNCTION outbox.settle(p_relay uuid, p_ids bigint[], p_event_ids uuid[], p_message_ids text[], p_sequence_numbers text[], OUT marked integer, OUT mismatched integer)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_nestloop TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
begin
    mismatched := 0;
    perform from outbox.relays r where r.relay_id = p_relay for key share;
    if not found then
        return;
    end if;
    update outbox.events e
    set sent_at = clock_timestamp(), message_id = s.message_id, sequence_number = nullif(s.sequence_number, '')
    from unnest(p_ids, p_event_ids, p_message_ids, p_sequence_numbers) as s (id, event_id, message_id, sequence_number)
    where e.id = s.id
      and e.event_id = s.event_id
      -- As unsent rows have no message id. With sent_at, the plan could read the whole index of unsent rows.
      and e.message_id is null
      -- The index is searched for the ids, and only partitions of their range are.
      and e.id = any (p_ids)
      and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    get diagnostics marked = row_count;
    if marked < cardinality(p_ids) then
        select count(*) into mismatched
        from unnest(p_ids, p_event_ids) as s (id, event_id)
        join outbox.events e on e.id = s.id
        where e.event_id <> s.event_id
          and e.id = any (p_ids)
          and e.id between p_ids[1] and p_ids[cardinality(p_ids)];
    end if;
end
$function$

CREATE OR REPLACE FUNCTION outbox.start_replay(p_replay uuid, p_request text, p_redirect text, p_interleave boolean, p_event_ids uuid[], p_destination text, p_type text, p_id text, p_event_type text, p_from timestamp with time zone, p_to timestamp with time zone, p_id_from bigint, p_id_to bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    insert into outbox.replays (
        replay_id, request_id, redirect, interleave, event_ids, destination, aggregate_type, aggregate_id, event_type,
        created_from, created_to, through, last_id)
    select p_replay, p_request, p_redirect, p_interleave, p_event_ids, p_destination, p_type, p_id, p_event_type,
           p_from, p_to, coalesce(p_id_from, 1) - 1, least(s.last_value, p_id_to)
    from outbox.events_id_seq s
    on conflict (replay_id) do nothing;
    return found;
end
$function$

CREATE OR REPLACE FUNCTION outbox.timeline()
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
    return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
exception
    when others then
        return null;
end
$function$

CREATE OR REPLACE FUNCTION outbox.unknown_destinations(p_known text[])
 RETURNS TABLE(name text, first_id bigint, events bigint)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
declare
    known text[] := array(select k.name from unnest(p_known) as k (name) order by k.name);
    found integer := 0;
    below text;
begin
    name := ''; -- no destination has an empty name
    for i in 1 .. cardinality(known) + 1 loop
        below := known[i];
        while found < 100 loop
            if below is null then
                select e.destination, e.id into name, first_id from outbox.events e
                where e.sent_at is null and e.destination > name
                order by e.destination, e.id limit 1;
            else
                select e.destination, e.id into name, first_id from outbox.events e
                where e.sent_at is null and e.destination > name and e.destination < below
                order by e.destination, e.id limit 1;
            end if;
            exit when name is null;
            select count(*) into events from (
                select from outbox.events e where e.sent_at is null and e.destination = name limit 1000) as c;
            found := found + 1;
            return next;
        end loop;
        name := below;
    end loop;
end
$function$

CREATE OR REPLACE FUNCTION outbox.unseal_partition(p_number bigint)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '50ms'
AS $function$
begin
    if not outbox.lock_partitions(false) then
        return 'locked';
    end if;
    execute format('alter table if exists outbox.%I drop constraint if exists being_archived', outbox.partition_name('events', p_number));
    return 'done';
exception
    when lock_not_available or deadlock_detected then
        return 'locked';
end
$function$

CREATE OR REPLACE FUNCTION outbox.uuidv7()
 RETURNS uuid
 LANGUAGE sql
 PARALLEL SAFE
RETURN (encode(set_bit(set_bit(OVERLAY(uuid_send(gen_random_uuid()) PLACING SUBSTRING(int8send((floor((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric)))::bigint) FROM 3) FROM 1 FOR 6), (52)::bigint, 1), (53)::bigint, 1), 'hex'::text))::uuid

CREATE OR REPLACE FUNCTION outbox.validate_partition(p_number bigint)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '1s'
AS $function$
declare
    child text := outbox.partition_name('events', p_number);
begin
    if not outbox.lock_partitions(false) then
        return 'busy';
    end if;
    execute format('alter table outbox.%I validate constraint being_archived', child);
    return 'done';
exception
    when check_violation then
        return 'young';
    when undefined_table or undefined_object then
        return 'unsealed';
    when lock_not_available then
        return 'busy';
end
$function$

grant execute on archive_partition to outbox_janitor
grant SELECT on archive to outbox_janitor
grant execute on begin_dlq_redrive to outbox_redrive
grant execute on bury to outbox_relay
grant execute on check_row_security to outbox_relay
grant execute on check_row_security to outbox_redrive
grant execute on check_row_security to outbox_janitor
grant execute on check_schema to outbox_relay
grant execute on check_schema to outbox_redrive
grant execute on check_schema to outbox_janitor
grant execute on copy_replay to outbox_redrive
grant execute on count_replay to outbox_redrive
grant execute on delete_archived to outbox_janitor
grant execute on delete_dead_letters to outbox_janitor
grant execute on delete_dlq_redrives to outbox_janitor
grant execute on delete_redrives to outbox_janitor
grant execute on digest to outbox_janitor
grant execute on drop_archived to outbox_janitor
grant execute on drop_vacant to outbox_janitor
grant execute on end_dlq_redrive to outbox_redrive
grant execute on end_janitor to outbox_janitor
grant execute on enqueue to outbox_writer
grant INSERT (aggregate_id) on events to outbox_writer
grant INSERT (aggregate_type) on events to outbox_writer
grant INSERT (destination) on events to outbox_writer
grant INSERT (event_id) on events to outbox_writer
grant INSERT (event_type) on events to outbox_writer
grant INSERT (headers) on events to outbox_writer
grant INSERT (payload) on events to outbox_writer
grant execute on expire_relays to outbox_janitor
grant SELECT on exports to outbox_janitor
grant execute on find_replay to outbox_redrive
grant execute on forget_exports to outbox_janitor
grant execute on health to outbox_janitor
grant execute on join_relay to outbox_relay
grant execute on leave_relay to outbox_relay
grant execute on list_archive to outbox_janitor
grant execute on list_blocked to outbox_relay
grant execute on list_blocked to outbox_redrive
grant execute on list_blocked to outbox_janitor
grant execute on list_dead_letters to outbox_redrive
grant execute on list_dlq_redrives to outbox_redrive
grant execute on list_events to outbox_janitor
grant execute on list_writers to outbox_relay
grant execute on lock_aggregate to outbox_writer
grant execute on lookup to outbox_relay
grant execute on lookup to outbox_redrive
grant execute on lookup to outbox_janitor
grant execute on make_partition to outbox_janitor
grant execute on move_sent to outbox_janitor
grant execute on nests_at_most_4000 to outbox_writer
grant execute on nests_at_most_4000 to outbox_relay
grant execute on read_backlog to outbox_relay
grant execute on read_content to outbox_relay
grant execute on read_deferred to outbox_relay
grant execute on read_era to outbox_relay
grant execute on read_gaps to outbox_relay
grant execute on read_new to outbox_relay
grant execute on read_status to outbox_relay
grant execute on read_status to outbox_redrive
grant execute on read_status to outbox_janitor
grant execute on read_unsent to outbox_relay
grant execute on record_export to outbox_janitor
grant execute on redrive_dead_letters to outbox_redrive
grant execute on refuse_encoding to outbox_writer
grant execute on release_blocked to outbox_redrive
grant execute on renew_relay to outbox_relay
grant execute on sample_ids to outbox_janitor
grant execute on seal_partition to outbox_janitor
grant execute on settle to outbox_relay
grant execute on start_replay to outbox_redrive
grant execute on unknown_destinations to outbox_relay
grant execute on unseal_partition to outbox_janitor
grant execute on uuidv7 to outbox_writer
grant execute on validate_partition to outbox_janitor
sequence outbox.events_id_seq cache 1 increment 1 start 1 cycle false
