-- The relays that own shards now, and when each got its first and its latest shard.
select s.owner, min(s.acquired_at), max(s.acquired_at)
from outbox.shards s
where s.owner is not null
group by s.owner
