-- The recorded files of the archive partition $1 whose rows are still in the archive.
select x.from_id, x.to_id, x.rows, x.digest::pg_catalog.text, x.bytes, x.sha256, x.location
from outbox.exports x
where x.number operator(pg_catalog.=) $1::bigint and x.removed_at is null
order by x.from_id
