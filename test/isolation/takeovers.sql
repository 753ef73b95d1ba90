-- Who holds shards now, and when it got the first and the last of them.
select s.owner, min(s.acquired_at), max(s.acquired_at)
from outbox.shards s
where s.owner is not null
group by s.owner
