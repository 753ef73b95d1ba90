select r.id, r.event_id::text, r.destination, r.aggregate_type, r.aggregate_id, r.outcome, r.ordered
from outbox.release_blocked(
    $1::text, $2::bigint, $3::integer, $4::boolean, $5::boolean,
    $6::text[]::uuid[], $7::text, $8::text, $9::text, $10::text,
    $11::timestamptz, $12::timestamptz, $13::bigint, $14::bigint) as r
