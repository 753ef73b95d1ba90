select outbox.forget_exports($1::bigint)
