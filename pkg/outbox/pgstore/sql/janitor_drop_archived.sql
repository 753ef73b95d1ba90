select outbox.drop_archived($1::bigint, $2::timestamptz, $3::boolean)
