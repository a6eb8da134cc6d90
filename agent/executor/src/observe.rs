//! Looking at what the host offers, before a decision: read-only and bounded.

mod users;

pub use users::{ReadUsersError, ResolveUserError, ResolvedUser, Users, read_users};
