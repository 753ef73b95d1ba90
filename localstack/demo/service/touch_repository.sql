insert into demo.repositories as r (provider, name, deliveries, last_type)
values ($1, $2, 1, $3)
on conflict (provider, name) do update
set deliveries = r.deliveries + 1, last_type = excluded.last_type, updated_at = clock_timestamp();
