-- Returns how many ids a partition is for. It cannot be changed while there are partitions.
-- Its body is resolved when it is created, so that it needs no search_path.
create or replace function outbox.partition_size() returns bigint
language sql immutable parallel safe
return 1000000;

select outbox.grant_function('partition_size');
