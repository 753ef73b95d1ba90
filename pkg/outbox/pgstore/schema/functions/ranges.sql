-- Returns the ranges from p_from[i] to p_to[i], both ends included, as one multirange. Its body is resolved when it is
-- created, so that it needs no search_path.
create or replace function outbox.ranges(p_from bigint[], p_to bigint[]) returns int8multirange
language sql immutable
return (select coalesce(range_agg(int8range(g.a, g.b, '[]')), '{}') from unnest(p_from, p_to) as g (a, b));

select outbox.grant_function('ranges');
