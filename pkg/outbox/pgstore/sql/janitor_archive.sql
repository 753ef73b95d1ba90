select outcome, seconds from outbox.archive_partition($1::bigint)
