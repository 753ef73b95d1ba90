select event_id from public.orders;
