//! Test upstreams, proxies, raw clients and receivers; for tests only.
