create schema if not exists demo;

create table if not exists demo.repositories (
    provider   text not null,
    name       text not null,
    deliveries bigint not null default 0,
    last_type  text not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (provider, name)
);

create table if not exists demo.work_items (
    provider   text not null,
    repository text not null,
    kind       text not null,
    item       text not null,
    title      text not null,
    deliveries bigint not null default 0,
    last_type  text not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (provider, repository, kind, item)
);
