select r.id, coalesce(r.event_id::text, ''), coalesce(r.destination, ''), coalesce(r.aggregate_type, ''),
       coalesce(r.aggregate_id, ''), r.outcome, coalesce(r.ordered, false)
from outbox.redrive_dead_letters(
    $1::text, $2::bigint, $3::integer, $4::text, $5::boolean, $6::boolean,
    $7::text[]::uuid[], $8::text, $9::text, $10::text, $11::text,
    $12::timestamptz, $13::timestamptz, $14::bigint, $15::bigint) as r
