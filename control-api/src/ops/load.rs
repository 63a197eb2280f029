//! What a configuration file wants to be there from the start.

use brownout_fault::{FaultSpec, Routes, read::Problem};
use brownout_proxy::{NewRoute, RouteStatus};
use serde_json::Value;

use super::{
    OpError, Ops,
    fit::{cannot_carry, no_route},
};
use crate::audit::Caller;

/// Routes and faults that a file and a command line ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Routes.
    pub routes: Vec<NewRoute>,
    /// Faults, which may name these routes.
    pub faults: Vec<FaultSpec>,
}

impl Ops {
    /// Makes all of these routes with all of these faults, or nothing. The faults are armed before the routes accept:
    /// the first request meets them.
    ///
    /// # Errors
    /// As [`arm`](Self::arm) and [`add_route`](Self::add_route).
    pub fn load(&self, wanted: Wanted, caller: Caller) -> Result<Vec<RouteStatus>, OpError> {
        let Wanted { routes, faults } = wanted;
        check_routes(&routes, &faults).map_err(OpError::Invalid)?;
        let shown: Vec<Value> = faults.iter().map(FaultSpec::to_value).collect();
        let mut change = self.change(caller);
        change.state.check_may_arm(change.now)?;
        let now = change.now;
        let ids: Vec<String> = match faults.as_slice() {
            [] => Vec::new(),
            _ => {
                let armed = change.state.writer.arm(faults, now)?;
                armed.into_iter().map(|fault| fault.id).collect()
            }
        };
        let mut made = Vec::new();
        for route in routes {
            match self.0.gateway.add_route(route) {
                Ok(route) => made.push(route),
                Err(error) => {
                    for route in &made {
                        // It is there: nobody else has the lock.
                        let _was_there = self.0.gateway.remove_route(&route.name);
                    }
                    change
                        .state
                        .writer
                        .remove_where(|id, _| ids.iter().any(|armed| armed == id));
                    return Err(error.into());
                }
            }
        }
        let names = made.iter().map(|route| route.name.clone()).collect();
        change.done("route.add", names, Value::Null);
        change.done("fault.arm", ids, Value::Array(shown));
        Ok(made)
    }
}

/// One problem for each route that one of `faults` names and that is not among `routes`, or cannot carry it. The
/// pointer begins with `/fault` and the number of the fault.
///
/// # Errors
/// All problems.
pub fn check_routes(routes: &[NewRoute], faults: &[FaultSpec]) -> Result<(), Vec<Problem>> {
    let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let mut problems = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let Routes::Named(names) = &fault.route else {
            continue;
        };
        for name in names {
            let unfit = match routes.iter().find(|route| route.name == *name) {
                Some(route) => cannot_carry(name, route.upstream.protocol(), fault).err(),
                None => Some(Problem::here(no_route(name, &known))),
            };
            if let Some(problem) = unfit {
                let problem = match problem.pointer.as_str() {
                    "" => problem.under("route"),
                    _ => problem,
                };
                problems.push(problem.under(&index.to_string()).under("fault"));
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
