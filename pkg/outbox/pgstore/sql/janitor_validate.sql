select outbox.validate_partition($1::bigint)
