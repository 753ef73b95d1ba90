-- Returns the latest p_limit rows of outbox.dlq_redrives, the latest first, as a JSON array with the keys of Go's
-- pgadmin.DLQRedrive.
create or replace function outbox.list_dlq_redrives(p_limit integer) returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(json_agg(json_build_object(
        'redrive_id', d.redrive_id, 'started_at', d.started_at, 'ended_at', d.ended_at, 'login', d.login, 'request_id', d.request_id,
        'queue', d.queue, 'send_to', d.send_to, 'request', d.request, 'answer', d.answer) order by d.redrive_id desc), '[]')
    from (select * from outbox.dlq_redrives x order by x.redrive_id desc limit p_limit) as d
$$;

select outbox.grant_function('list_dlq_redrives', '{outbox_redrive}');
