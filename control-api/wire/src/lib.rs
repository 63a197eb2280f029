//! What the control API says: routes, fault answers, problems.
