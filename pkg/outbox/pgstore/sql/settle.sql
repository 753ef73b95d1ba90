select outbox.settle($1::uuid, $2::bigint[], $3::text[], $4::text[])
