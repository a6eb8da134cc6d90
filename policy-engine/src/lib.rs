//! Evaluates host requests against a tenant's CCE policy.
