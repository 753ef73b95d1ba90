-- Records in outbox.dlq_redrives that a run begins to redrive a dead-letter queue, and returns the id of the record. The
-- login is that of the session. p_request is the request as JSON.
create or replace function outbox.begin_dlq_redrive(
    p_request_id text, p_queue text, p_send_to text, p_request json
) returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.dlq_redrives (login, request_id, queue, send_to, request)
    values (session_user, p_request_id, p_queue, p_send_to, p_request)
    returning redrive_id;
$$;

select outbox.grant_function('begin_dlq_redrive', '{outbox_redrive}');
