create table public.orders (event_id uuid primary key);
