select * from outbox.read_new($1::bigint, $2::smallint[], $3::integer)
