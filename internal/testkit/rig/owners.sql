select r.name
from outbox.relays r
join outbox.shards s on s.owner = r.relay_id
group by r.name
order by count(*) desc;
