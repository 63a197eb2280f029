//! The REST API that starts and ends faults.
