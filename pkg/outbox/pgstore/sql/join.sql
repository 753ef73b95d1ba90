select outbox.join_relay(
    $1::uuid, $2::text,
    $3::bigint * interval '1 microsecond', $4::bigint * interval '1 microsecond', $5::bigint * interval '1 microsecond',
    $6::integer)
