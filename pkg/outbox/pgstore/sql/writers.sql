select l.virtualtransaction
from pg_catalog.pg_locks l
where l.locktype = 'relation'
  and l.mode = 'RowExclusiveLock'
  and l.granted
  and l.relation = 'outbox.events'::regclass
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
order by 1
