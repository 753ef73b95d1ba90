insert into demo.work_items as w (provider, repository, kind, item, title, deliveries, last_type)
values ($1, $2, $3, $4, $5, 1, $6)
on conflict (provider, repository, kind, item) do update
set deliveries = w.deliveries + 1, title = excluded.title, last_type = excluded.last_type, updated_at = clock_timestamp();
