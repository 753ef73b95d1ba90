select outbox.delete_redrives($1::timestamptz, $2::integer)
