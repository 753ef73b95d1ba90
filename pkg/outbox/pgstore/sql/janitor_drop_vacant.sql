select outcome, seconds from outbox.drop_vacant($1::bigint)
