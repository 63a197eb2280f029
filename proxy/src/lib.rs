//! The data plane: a transparent HTTP and TCP proxy that carries out faults.
