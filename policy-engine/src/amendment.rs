//! What policy changes in a request that it allows.

use crate::request::CapabilitySets;

/// What a decision changes in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// The environment that policy keeps; `None` keeps all.
    pub(crate) env: Option<Vec<String>>,
    /// The capabilities that policy keeps; `None` keeps all.
    pub(crate) capabilities: Option<CapabilitySets>,
    /// Whether the host may read and write stdio.
    pub(crate) allow_stdio_access: bool,
}
