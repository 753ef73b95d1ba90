select (select coalesce(sum(deliveries), 0) from demo.repositories)::bigint,
       (select coalesce(sum(deliveries), 0) from demo.work_items)::bigint;
