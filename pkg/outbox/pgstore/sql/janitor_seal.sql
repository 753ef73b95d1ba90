select outbox.seal_partition($1::bigint, $2::timestamptz)
