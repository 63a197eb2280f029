//! What a fault is: decides, never acts.
