select outbox.expire_relays($1::timestamptz)
