select outbox.make_partition($1::bigint)
