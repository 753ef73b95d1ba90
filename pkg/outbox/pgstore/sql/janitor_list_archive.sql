select number, closed, oldest, newest, rows, bytes from outbox.list_archive($1::integer)
