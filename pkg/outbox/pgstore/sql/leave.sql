select outbox.leave_relay($1::uuid, $2::smallint[], $3::bigint[], $4::bigint, $5::bigint[], $6::bigint[])
