select outbox.renew_relay(
    $1::uuid, $2::bigint * interval '1 microsecond', $3::integer, $4::boolean,
    $5::smallint[], $6::bigint[], $7::smallint[],
    $8::bigint, $9::bigint[], $10::bigint[],
    $11::text[], $12::text[], $13::text[], $14::text[]::timestamptz[])::text
