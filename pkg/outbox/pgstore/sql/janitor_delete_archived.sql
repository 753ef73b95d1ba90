select outcome, deleted from outbox.delete_archived($1::bigint, $2::bigint, $3::timestamptz, $4::integer, $5::boolean)
