select outcome, moved, coalesce(next, 0) from outbox.move_sent(nullif($1::bigint, -1), $2::bigint, $3::timestamptz, $4::integer)
