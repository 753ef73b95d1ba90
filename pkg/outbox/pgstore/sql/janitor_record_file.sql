select outbox.record_export(
    $1::bigint, $2::bigint, $3::bigint, $4::bigint, ($5::text)::numeric, $6::bigint, $7::text, $8::text)
