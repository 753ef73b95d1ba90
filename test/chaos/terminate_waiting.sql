-- Only connections of the relay: the writers are called rig.
select count(*) filter (where pg_terminate_backend(a.pid))
from pg_stat_activity a
where a.datname = current_database()
  and a.application_name <> 'rig'
  and a.wait_event_type = 'Lock'
