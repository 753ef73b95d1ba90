select outbox.unseal_partition($1::bigint)
