select number, closed, archived, sealed, vacant, unsent, newest from outbox.list_events($1::integer)
