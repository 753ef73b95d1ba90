select outbox.start_replay(
    $1::uuid, $2::text, $3::text, $4::boolean,
    $5::text[]::uuid[], $6::text, $7::text, $8::text, $9::text,
    $10::timestamptz, $11::timestamptz, $12::bigint, $13::bigint)
