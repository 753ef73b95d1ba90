select r.searched_at is not null, r.through, r.last_id, r.found, r.copied, r.failed
from outbox.find_replay($1::uuid, $2::integer) as r
