select e.event_id, e.destination, e.aggregate_type, e.aggregate_id, 'sent', coalesce(e.message_id, ''), coalesce(e.sequence_number, ''), e.sent_at, ''
from outbox.events e
where e.sent_at is not null
union all
select e.event_id, e.destination, e.aggregate_type, e.aggregate_id, case when b.first_id is null then 'pending' else 'blocked' end, '', '', null, coalesce(b.reason, '')
from outbox.events e
left join outbox.blocked b using (destination, aggregate_type, aggregate_id)
where e.sent_at is null
union all
select a.event_id, a.destination, a.aggregate_type, a.aggregate_id, 'sent', coalesce(a.message_id, ''), coalesce(a.sequence_number, ''), a.sent_at, ''
from outbox.archive a
union all
select d.event_id, d.destination, d.aggregate_type, d.aggregate_id, 'dead', '', '', null, d.reason
from outbox.dead_letters d;
