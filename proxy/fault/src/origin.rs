//! Where a fault comes from.

/// Names the call that made or changed a fault, as a trace does.
///
/// Nothing here looks into it: it is kept with the fault, for whoever tells what the fault did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The trace, most significant byte first.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
}
