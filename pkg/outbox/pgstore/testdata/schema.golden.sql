column archive.id bigint not null
column archive.created_at timestamp with time zone not null
column archive.sent_at timestamp with time zone not null
column archive.event_id uuid not null
column archive.replays integer not null
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
column archive_default.event_id uuid not null
column archive_default.replays integer not null
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
column events.id bigint not null identity a
column events.created_at timestamp with time zone not null default clock_timestamp()
column events.sent_at timestamp with time zone
column events.event_id uuid not null default outbox.uuidv7()
column events.replays integer not null default 0
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
column events_default.event_id uuid not null default outbox.uuidv7()
column events_default.replays integer not null default 0
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
column events_p000000.event_id uuid not null default outbox.uuidv7()
column events_p000000.replays integer not null default 0
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
column events_p000001.event_id uuid not null default outbox.uuidv7()
column events_p000001.replays integer not null default 0
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
column events_p000002.event_id uuid not null default outbox.uuidv7()
column events_p000002.replays integer not null default 0
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
column events_p000003.event_id uuid not null default outbox.uuidv7()
column events_p000003.replays integer not null default 0
column events_p000003.shard smallint not null generated default ((hashtextextended(aggregate_id, hashtextextended(aggregate_type, (0)::bigint)) & (63)::bigint))::smallint
column events_p000003.aggregate_type text not null
column events_p000003.aggregate_id text not null
column events_p000003.event_type text not null
column events_p000003.destination text not null default 'default'::text
column events_p000003.payload json not null
column events_p000003.headers json
column events_p000003.message_id text
column events_p000003.sequence_number text
column relays.started_at timestamp with time zone not null
column relays.run_until timestamp with time zone not null
column relays.lease_until timestamp with time zone not null
column relays.low bigint not null default 0
column relays.relay_id uuid not null
column relays.leaving boolean not null default false
column relays.gaps int8multirange not null default '{}'::int8multirange
column relays.name text not null
column shards.epoch bigint not null default 0
column shards.low bigint not null default 0
column shards.acquired_at timestamp with time zone
column shards.owner uuid
column shards.shard smallint not null
column shards.covered boolean not null default false
column shards.gaps int8multirange not null default '{}'::int8multirange
table archive partition by RANGE (id)
table archive_default of outbox.archive DEFAULT
table blocked
table dead_letters
table events partition by RANGE (id)
table events_default of outbox.events DEFAULT with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000000 of outbox.events FOR VALUES FROM ('0') TO ('1000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000001 of outbox.events FOR VALUES FROM ('1000000') TO ('2000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000002 of outbox.events FOR VALUES FROM ('2000000') TO ('3000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table events_p000003 of outbox.events FOR VALUES FROM ('3000000') TO ('4000000') with autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=1000000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=2000000
table relays with fillfactor=10, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000
table shards with fillfactor=50
constraint outbox.archive_default archive_default_pkey PRIMARY KEY (id)
constraint outbox.archive archive_pkey PRIMARY KEY (id)
constraint outbox.blocked blocked_pkey PRIMARY KEY (destination, aggregate_type, aggregate_id)
constraint outbox.dead_letters dead_letters_pkey PRIMARY KEY (id)
constraint outbox.events_default aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events_default aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_default aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events_default aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_default destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events_default destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_default event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events_default event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_default events_default_pkey PRIMARY KEY (id)
constraint outbox.events_default headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events_default headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events_default headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events_default payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events_default payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events_default replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_default sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000000 aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events_p000000 aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000000 aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events_p000000 aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000000 destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events_p000000 destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000000 event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events_p000000 event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000000 events_p000000_pkey PRIMARY KEY (id)
constraint outbox.events_p000000 headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events_p000000 headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events_p000000 headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events_p000000 payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events_p000000 payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events_p000000 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000000 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000001 aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events_p000001 aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000001 aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events_p000001 aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000001 destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events_p000001 destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000001 event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events_p000001 event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000001 events_p000001_pkey PRIMARY KEY (id)
constraint outbox.events_p000001 headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events_p000001 headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events_p000001 headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events_p000001 payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events_p000001 payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events_p000001 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000001 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000002 aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events_p000002 aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000002 aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events_p000002 aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000002 destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events_p000002 destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000002 event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events_p000002 event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000002 events_p000002_pkey PRIMARY KEY (id)
constraint outbox.events_p000002 headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events_p000002 headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events_p000002 headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events_p000002 payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events_p000002 payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events_p000002 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000002 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events_p000003 aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events_p000003 aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000003 aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events_p000003 aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000003 destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events_p000003 destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000003 event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events_p000003 event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events_p000003 events_p000003_pkey PRIMARY KEY (id)
constraint outbox.events_p000003 headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events_p000003 headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events_p000003 headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events_p000003 payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events_p000003 payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events_p000003 replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events_p000003 sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.events aggregate_id_has_1_to_1024_characters CHECK (((char_length(aggregate_id) >= 1) AND (char_length(aggregate_id) <= 1024)))
constraint outbox.events aggregate_id_has_only_characters_that_sqs_takes CHECK ((aggregate_id !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events aggregate_type_has_1_to_256_characters CHECK (((char_length(aggregate_type) >= 1) AND (char_length(aggregate_type) <= 256)))
constraint outbox.events aggregate_type_has_only_characters_that_sqs_takes CHECK ((aggregate_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events destination_has_1_to_256_characters CHECK (((char_length(destination) >= 1) AND (char_length(destination) <= 256)))
constraint outbox.events destination_has_only_characters_that_sqs_takes CHECK ((destination !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events event_type_has_1_to_256_characters CHECK (((char_length(event_type) >= 1) AND (char_length(event_type) <= 256)))
constraint outbox.events event_type_has_only_characters_that_sqs_takes CHECK ((event_type !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]'::text))
constraint outbox.events events_pkey PRIMARY KEY (id)
constraint outbox.events headers_are_a_json_object CHECK ((json_typeof(headers) = 'object'::text))
constraint outbox.events headers_are_at_most_8_kib CHECK ((octet_length((headers)::text) <= 8192))
constraint outbox.events headers_have_only_characters_that_sqs_takes CHECK (((strpos((headers)::text, '￾'::text) = 0) AND (strpos((headers)::text, '￿'::text) = 0)))
constraint outbox.events payload_has_only_characters_that_sqs_takes CHECK (((strpos((payload)::text, '￾'::text) = 0) AND (strpos((payload)::text, '￿'::text) = 0)))
constraint outbox.events payload_is_at_most_1_mib_less_32_kib CHECK ((octet_length((payload)::text) <= 1015808))
constraint outbox.events replays_are_not_negative CHECK ((replays >= 0))
constraint outbox.events sent_events_have_a_message_id CHECK (((sent_at IS NULL) = (message_id IS NULL)))
constraint outbox.relays relays_pkey PRIMARY KEY (relay_id)
constraint outbox.shards shard_is_0_to_63 CHECK (((shard >= 0) AND (shard <= 63)))
constraint outbox.shards shards_pkey PRIMARY KEY (shard)
CREATE INDEX archive_default_event_id_idx ON outbox.archive_default USING btree (event_id)
CREATE UNIQUE INDEX archive_default_pkey ON outbox.archive_default USING btree (id)
CREATE INDEX archive_event_id_idx ON ONLY outbox.archive USING btree (event_id)
CREATE UNIQUE INDEX archive_pkey ON ONLY outbox.archive USING btree (id)
CREATE UNIQUE INDEX blocked_pkey ON outbox.blocked USING btree (destination, aggregate_type, aggregate_id)
CREATE INDEX blocked_released_idx ON outbox.blocked USING btree (shard) WHERE (released_at IS NOT NULL)
CREATE INDEX dead_letters_event_id_idx ON outbox.dead_letters USING btree (event_id)
CREATE UNIQUE INDEX dead_letters_pkey ON outbox.dead_letters USING btree (id)
CREATE INDEX events_default_event_id_idx ON outbox.events_default USING btree (event_id)
CREATE INDEX events_default_id_idx ON outbox.events_default USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX events_default_pkey ON outbox.events_default USING btree (id)
CREATE INDEX events_event_id_idx ON ONLY outbox.events USING btree (event_id)
CREATE INDEX events_p000000_event_id_idx ON outbox.events_p000000 USING btree (event_id)
CREATE INDEX events_p000000_id_idx ON outbox.events_p000000 USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX events_p000000_pkey ON outbox.events_p000000 USING btree (id)
CREATE INDEX events_p000001_event_id_idx ON outbox.events_p000001 USING btree (event_id)
CREATE INDEX events_p000001_id_idx ON outbox.events_p000001 USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX events_p000001_pkey ON outbox.events_p000001 USING btree (id)
CREATE INDEX events_p000002_event_id_idx ON outbox.events_p000002 USING btree (event_id)
CREATE INDEX events_p000002_id_idx ON outbox.events_p000002 USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX events_p000002_pkey ON outbox.events_p000002 USING btree (id)
CREATE INDEX events_p000003_event_id_idx ON outbox.events_p000003 USING btree (event_id)
CREATE INDEX events_p000003_id_idx ON outbox.events_p000003 USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX events_p000003_pkey ON outbox.events_p000003 USING btree (id)
CREATE UNIQUE INDEX events_pkey ON ONLY outbox.events USING btree (id)
CREATE INDEX events_unsent_idx ON ONLY outbox.events USING btree (id) WHERE (sent_at IS NULL)
CREATE UNIQUE INDEX relays_pkey ON outbox.relays USING btree (relay_id)
CREATE UNIQUE INDEX shards_pkey ON outbox.shards USING btree (shard)
CREATE OR REPLACE FUNCTION outbox.enqueue(aggregate_type text, aggregate_id text, event_type text, payload json, destination text DEFAULT 'default'::text, headers json DEFAULT NULL::json, event_id uuid DEFAULT NULL::uuid)
 RETURNS uuid
 LANGUAGE plpgsql
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

CREATE OR REPLACE FUNCTION outbox.grant_roles()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    wanted text;
begin
    foreach wanted in array array['outbox_writer', 'outbox_relay', 'outbox_janitor'] loop
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
            outbox.renew_relay(uuid, interval, integer, boolean, smallint[], bigint[], smallint[], bigint, bigint[], bigint[], text[], text[], text[]),
            outbox.leave_relay(uuid, smallint[], bigint[], bigint, bigint[], bigint[]),
            outbox.read_gaps(bigint[], bigint[], smallint[], integer),
            outbox.read_left(text, text, text, bigint, smallint[], integer, integer),
            outbox.read_backlog(bigint, integer)
            to outbox_relay;
    end if;

    if exists (select from pg_catalog.pg_roles where rolname = 'outbox_janitor') then
        grant usage on schema outbox to outbox_janitor;
        grant select, delete on outbox.events to outbox_janitor;
        grant select, insert, delete on outbox.archive, outbox.dead_letters to outbox_janitor;
        grant select on outbox.blocked, outbox.relays, outbox.shards, outbox.migrations, outbox.events_id_seq to outbox_janitor;
        grant execute on function outbox.make_partitions(integer) to outbox_janitor;
    end if;
end
$function$

CREATE OR REPLACE FUNCTION outbox.join_relay(p_relay uuid, p_name text, p_ttl interval, p_run_for interval, p_window interval, p_relays integer)
 RETURNS boolean
 LANGUAGE plpgsql
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
$function$

CREATE OR REPLACE FUNCTION outbox.leave_relay(p_relay uuid, p_known_shards smallint[], p_known_epochs bigint[], p_low bigint, p_gap_from bigint[], p_gap_to bigint[])
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION outbox.lock_aggregate(aggregate_type text, aggregate_id text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT pg_advisory_xact_lock(hashtextextended(aggregate_id, hashtextextended(aggregate_type, (7)::bigint))) AS pg_advisory_xact_lock;
END

CREATE OR REPLACE FUNCTION outbox.make_partitions(ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
    size   constant bigint := 1000000;
    made   integer := 0;
    number bigint;
    child  text;
    strays boolean;
begin
    if ahead not between 0 and 1000 then
        raise exception 'make_partitions: ahead must be 0 to 1000, is %', ahead;
    end if;
    perform pg_advisory_xact_lock(1869968504, 2);
    for number in
        select generate_series(s.last_value / size, s.last_value / size + ahead) from outbox.events_id_seq s
    loop
        child := format('events_p%s', lpad(number::text, 6, '0'));
        continue when to_regclass(format('outbox.%I', child)) is not null
                   or to_regclass(format('outbox.%I', replace(child, 'events', 'archive'))) is not null;
        select exists (
            select from outbox.events_default d
            where d.id >= number * size and d.id < (number + 1) * size) into strays;
        if strays then
            raise notice 'outbox.events_default holds ids from % on, so that % cannot be made', number * size, child;
            continue;
        end if;
        -- Made aside and attached: that holds no lock that writers wait for,
        -- as CREATE TABLE ... PARTITION OF would.
        execute format(
            'create table outbox.%I (like outbox.events including defaults including generated including constraints'
            ' including storage including compression) with ('
            'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0, '
            'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000, '
            'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000000)', child);
        execute format(
            'alter table outbox.events attach partition outbox.%I for values from (%s) to (%s)',
            child, number * size, (number + 1) * size);
        made := made + 1;
    end loop;
    return made;
end
$function$

CREATE OR REPLACE FUNCTION outbox.ranges(p_from bigint[], p_to bigint[])
 RETURNS int8multirange
 LANGUAGE sql
 IMMUTABLE
RETURN (SELECT COALESCE(range_agg(int8range(g.a, g.b, '[]'::text)), '{}'::int8multirange) AS "coalesce" FROM UNNEST(ranges.p_from, ranges.p_to) g(a, b))

CREATE OR REPLACE FUNCTION outbox.read_backlog(p_low bigint, p_limit integer)
 RETURNS TABLE(pending bigint, oldest double precision)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
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
$function$

CREATE OR REPLACE FUNCTION outbox.read_gaps(p_from bigint[], p_to bigint[], p_shards smallint[], p_limit integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json)
 LANGUAGE plpgsql
 STABLE
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
           case when r.mine then r.shard end,
           case when r.mine then r.aggregate_type end,
           case when r.mine then r.aggregate_id end,
           case when r.mine then r.event_type end,
           case when r.mine then r.destination end,
           case when r.mine then r.payload end,
           case when r.mine then r.headers end
    from unnest(p_from, p_to) as g (first, last)
    cross join lateral (
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
        where e.id between g.first and g.last
          and e.id between p_from[1] and p_to[cardinality(p_to)]
        order by e.id
        limit p_limit
    ) as r
    limit p_limit;
end
$function$

CREATE OR REPLACE FUNCTION outbox.read_left(p_destination text, p_type text, p_id text, p_from bigint, p_shards smallint[], p_examine integer, p_limit integer)
 RETURNS TABLE(id bigint, created_at timestamp with time zone, event_id uuid, replays integer, shard smallint, aggregate_type text, aggregate_id text, event_type text, destination text, payload json, headers json, place bigint)
 LANGUAGE plpgsql
 STABLE
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
               and case
                   when p_id <> '' then e.aggregate_type = p_type and e.aggregate_id = p_id
                   else not exists (
                       select from outbox.blocked b
                       where b.destination = e.destination
                         and b.aggregate_type = e.aggregate_type
                         and b.aggregate_id = e.aggregate_id)
               end as wanted
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
$function$

CREATE OR REPLACE FUNCTION outbox.renew_relay(p_relay uuid, p_ttl interval, p_relays integer, p_leaving boolean, p_known_shards smallint[], p_known_epochs bigint[], p_release smallint[], p_low bigint, p_gap_from bigint[], p_gap_to bigint[], p_destinations text[], p_types text[], p_ids text[])
 RETURNS json
 LANGUAGE plpgsql
AS $function$
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
            join unnest(p_destinations, p_types, p_ids) as l (destination, aggregate_type, aggregate_id)
                on (l.destination, l.aggregate_type, l.aggregate_id) = (b.destination, b.aggregate_type, b.aggregate_id)
            join outbox.shards s on s.shard = b.shard and s.owner = p_relay
            where b.released_at is not null
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
                'shard', l.shard, 'first_id', l.first_id) order by l.first_id), '[]')
            from (
                select b.* from outbox.blocked b
                join outbox.shards s on s.shard = b.shard and s.owner = p_relay
                where b.released_at is not null
                order by b.first_id limit 100
            ) as l));
end
$function$

CREATE OR REPLACE FUNCTION outbox.uuidv7()
 RETURNS uuid
 LANGUAGE sql
 PARALLEL SAFE
RETURN (encode(set_bit(set_bit(OVERLAY(uuid_send(gen_random_uuid()) PLACING SUBSTRING(int8send((floor((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric)))::bigint) FROM 3) FROM 1 FOR 6), (52)::bigint, 1), (53)::bigint, 1), 'hex'::text))::uuid

grant DELETE on archive to outbox_janitor
grant INSERT on archive to outbox_janitor
grant SELECT on archive to outbox_janitor
grant SELECT on archive to outbox_relay
grant SELECT on blocked to outbox_janitor
grant DELETE on blocked to outbox_relay
grant INSERT on blocked to outbox_relay
grant SELECT on blocked to outbox_relay
grant UPDATE on blocked to outbox_relay
grant DELETE on dead_letters to outbox_janitor
grant INSERT on dead_letters to outbox_janitor
grant SELECT on dead_letters to outbox_janitor
grant DELETE on dead_letters to outbox_relay
grant INSERT on dead_letters to outbox_relay
grant SELECT on dead_letters to outbox_relay
grant UPDATE on dead_letters to outbox_relay
grant execute on enqueue to outbox_writer
grant SELECT on events_id_seq to outbox_janitor
grant SELECT on events_id_seq to outbox_relay
grant DELETE on events to outbox_janitor
grant SELECT on events to outbox_janitor
grant DELETE on events to outbox_relay
grant SELECT on events to outbox_relay
grant UPDATE (message_id) on events to outbox_relay
grant UPDATE (sent_at) on events to outbox_relay
grant UPDATE (sequence_number) on events to outbox_relay
grant INSERT (aggregate_id) on events to outbox_writer
grant INSERT (aggregate_type) on events to outbox_writer
grant INSERT (destination) on events to outbox_writer
grant INSERT (event_id) on events to outbox_writer
grant INSERT (event_type) on events to outbox_writer
grant INSERT (headers) on events to outbox_writer
grant INSERT (payload) on events to outbox_writer
grant execute on join_relay to outbox_relay
grant execute on leave_relay to outbox_relay
grant execute on lock_aggregate to outbox_writer
grant execute on make_partitions to outbox_janitor
grant SELECT on migrations to outbox_janitor
grant SELECT on migrations to outbox_relay
grant execute on ranges to outbox_relay
grant execute on read_backlog to outbox_relay
grant execute on read_gaps to outbox_relay
grant execute on read_left to outbox_relay
grant SELECT on relays to outbox_janitor
grant DELETE on relays to outbox_relay
grant INSERT on relays to outbox_relay
grant SELECT on relays to outbox_relay
grant UPDATE on relays to outbox_relay
grant execute on renew_relay to outbox_relay
grant SELECT on shards to outbox_janitor
grant SELECT on shards to outbox_relay
grant UPDATE on shards to outbox_relay
grant execute on uuidv7 to outbox_writer
sequence outbox.events_id_seq cache 1 increment 1 start 1 cycle false
