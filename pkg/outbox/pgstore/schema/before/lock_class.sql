-- The class of the outbox's advisory locks, 'outb' in ASCII. In this class 1 is for
-- leases, 2 for partitions and 3 for migrations. Its body is resolved when it is
-- created, so that it needs no search_path.
create or replace function outbox.lock_class() returns integer
language sql immutable parallel safe
return 1869968504;

select outbox.grant_function('lock_class', '{outbox_relay}');
