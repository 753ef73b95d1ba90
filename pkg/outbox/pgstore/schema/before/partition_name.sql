-- Returns the name of a partition. kind is events or archive. The partition of a number has
-- the ids from number * outbox.partition_size() on, below those of the next number.
create or replace function outbox.partition_name(kind text, number bigint) returns text
language sql immutable
return kind || '_p' || lpad(number::text, greatest(6, length(number::text)), '0');

select outbox.grant_function('partition_name');
