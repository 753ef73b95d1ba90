insert into public.orders (event_id) select pg_catalog.unnest($1::uuid[]);
