select e.event_id,
       case when e.sent_at is not null then 'sent' when b.first_id is null then 'pending' else 'blocked' end,
       coalesce(e.message_id, ''),
       case when e.sent_at is null then coalesce(b.reason, '') else '' end
from outbox.events e
left join outbox.blocked b using (destination, aggregate_type, aggregate_id)
union all
select d.event_id, 'dead', '', d.reason
from outbox.dead_letters d
where not exists (select from outbox.events e where e.id = d.id);
