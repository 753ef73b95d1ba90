select * from outbox.read_unsent($1::bigint, $2::bigint, $3::smallint[], $4::integer)
