select * from outbox.read_left($1::text, $2::text, $3::text, $4::bigint, $5::smallint[], $6::integer, $7::integer, $8::boolean)
