select c.found, coalesce(c.next, 0)
from outbox.count_replay(
    $1::bigint, $2::integer,
    $3::text[]::uuid[], $4::text, $5::text, $6::text, $7::text,
    $8::timestamptz, $9::timestamptz, $10::bigint, $11::bigint) as c
