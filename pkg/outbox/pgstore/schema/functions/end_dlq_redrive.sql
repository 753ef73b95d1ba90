-- Records in outbox.dlq_redrives that a run has ended, with its answer as JSON. It returns true, or null and changes
-- nothing when the record is of another login, has ended already or is not there.
create or replace function outbox.end_dlq_redrive(p_id bigint, p_answer json) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    update outbox.dlq_redrives d
    set ended_at = clock_timestamp(), answer = p_answer
    where d.redrive_id = p_id and d.login = session_user and d.ended_at is null
    returning true;
$$;

select outbox.grant_function('end_dlq_redrive', '{outbox_redrive}');
