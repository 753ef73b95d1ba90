select count(*) from (select distinct aggregate_type, aggregate_id from outbox.events) as a
