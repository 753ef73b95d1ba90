-- Takes the advisory lock of an aggregate until the end of the transaction. Writers of one aggregate that all call it
-- before they write wait for each other, so that the order of their ids is the order of their commits. Its body is
-- resolved when it is created, so that it needs no search_path.
create or replace function outbox.lock_aggregate(aggregate_type text, aggregate_id text) returns void
language sql volatile
begin atomic
    select pg_advisory_xact_lock(hashtextextended(aggregate_id, hashtextextended(aggregate_type, 7)));
end;

select outbox.grant_function('lock_aggregate', '{outbox_writer}');
