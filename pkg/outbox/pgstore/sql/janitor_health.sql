select outbox.health($1::bigint * interval '1 microsecond', $2::integer)::text
