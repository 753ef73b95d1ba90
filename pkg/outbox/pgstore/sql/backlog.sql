select pending, oldest from outbox.read_backlog($1::bigint, $2::integer)
