select outbox.delete_dead_letters($1::timestamptz, $2::integer)
