//! Timeout, retry, circuit breaker and fallback for a client, set by a policy file.
