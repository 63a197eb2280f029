//! `/proxies` and `/populate`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use brownout_proxy::{ListenAddress, NewRoute, Protocol, RouteChange, RouteStatus, Upstream};
use serde_json::{Map, Value, json};

use super::{
    body::{Members, ToxicBody, first_value},
    wire::{self, ToxicError},
};
use crate::{
    audit::Caller,
    control::Shared,
    extract::Body,
    off_thread::{look_up, off_thread},
    ops::{ListenText, OpError, Ops},
    problem::ApiError,
};

/// `GET /proxies`: an object, sorted by name.
pub(super) async fn list(State(control): State<Shared>) -> Result<Response, ToxicError> {
    off_thread(&control, |ops| {
        let routes = ops.routes().into_iter().filter(is_proxy);
        let all: Map<String, Value> = routes
            .map(|route| (route.name.clone(), shown(ops, &route)))
            .collect();
        Ok(wire::ok(StatusCode::OK, &Value::Object(all)))
    })
    .await
    .map_err(Into::into)
}

/// `GET /proxies/{proxy}`.
pub(super) async fn show(
    State(control): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, ToxicError> {
    let route = found(&control.ops, &name)?;
    Ok(wire::ok(StatusCode::OK, &shown(&control.ops, &route)))
}

/// `POST /proxies`.
pub(super) async fn create(
    State(control): State<Shared>,
    caller: Caller,
    ToxicBody(body): ToxicBody,
) -> Result<Response, ToxicError> {
    let members = Members::of(first_value(&body)?)?;
    let wanted = Wanted::read(&members)?;
    wanted.check("")?;
    let new = resolved(&control, wanted).await?;
    let made = off_thread(&control, move |ops| Ok(make(ops, new, caller))).await??;
    Ok(wire::ok(StatusCode::CREATED, &shown(&control.ops, &made)))
}

/// `POST` or `PATCH /proxies/{proxy}`: what is named is changed.
pub(super) async fn update(
    State(control): State<Shared>,
    Path(name): Path<String>,
    caller: Caller,
    ToxicBody(body): ToxicBody,
) -> Result<Response, ToxicError> {
    found(&control.ops, &name)?;
    let members = Members::of(first_value(&body)?)?;
    let mut wanted = Wanted::read(&members)?;
    let enabled = members.boolean("enabled")?;
    // The original resolves what it has with every update.
    let kept = control.ops.listen_text(&name);
    let kept = kept.filter(|kept| enabled == Some(true) || !kept.is_address);
    wanted.listen = wanted.listen.or(kept.map(|kept| kept.text));
    let change = look_up(&control, move || Ok(wanted.change(enabled))).await?;
    // Of an update it has no `listen tcp: ` before it.
    let change = change.map_err(ToxicError::of_an_update)?;
    let changed = off_thread(&control, move |ops| {
        Ok(change_proxy(ops, &name, change, caller).map_err(bind_error))
    })
    .await??;
    Ok(wire::ok(StatusCode::OK, &shown(&control.ops, &changed)))
}

/// Another upstream ends the connections, which lead to the old one: as in the original the proxy stops and starts.
fn change_proxy(
    ops: &Ops,
    name: &str,
    mut change: RouteChange,
    caller: Caller,
) -> Result<RouteStatus, OpError> {
    let before = ops.route(name).filter(is_proxy);
    let before = before.ok_or_else(|| OpError::NoRoute(name.to_owned()))?;
    let leads_elsewhere = change
        .upstream
        .as_ref()
        .is_some_and(|to| to.to_string() != before.upstream);
    let stays_enabled = before.enabled && change.enabled != Some(false);
    if !leads_elsewhere || !stays_enabled {
        return ops.change_route(name, change, caller);
    }
    ops.change_route(name, enabled(false), caller)?;
    change.enabled = Some(true);
    let changed = ops.change_route(name, change, caller);
    if changed.is_err() {
        // It goes on where it was, to where it led.
        ops.change_route(name, enabled(true), caller)?;
    }
    changed
}

fn enabled(enabled: bool) -> RouteChange {
    RouteChange {
        enabled: Some(enabled),
        ..RouteChange::default()
    }
}

/// `DELETE /proxies/{proxy}`.
pub(super) async fn remove(
    State(control): State<Shared>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<StatusCode, ToxicError> {
    found(&control.ops, &name)?;
    control.ops.remove_route(&name, caller)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /populate`: makes what is not there as it is asked for, in order, up to the first that fails.
pub(super) async fn populate(
    State(control): State<Shared>,
    caller: Caller,
    ToxicBody(body): ToxicBody,
) -> Result<Response, ToxicError> {
    let mut done = Vec::new();
    let failed = match read_all(&body) {
        Err(error) => Some(error),
        Ok(all) => {
            let mut failed = None;
            for wanted in all {
                match ensure(&control, wanted, caller).await {
                    Ok(route) => done.push(route),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            failed
        }
    };
    let proxies: Vec<Value> = done
        .iter()
        .map(|route| shown(&control.ops, route))
        .collect();
    Ok(match failed {
        None => wire::ok(StatusCode::CREATED, &json!({ "proxies": proxies })),
        Some(error) => {
            let mut value = error.to_value();
            value["proxies"] = json!(proxies);
            wire::ok(error.status(), &value)
        }
    })
}

fn read_all(body: &Body) -> Result<Vec<Wanted>, ToxicError> {
    let items = match first_value(body)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        _ => {
            let text =
                "bad request body: json: cannot unmarshal object into Go value of type []proxy";
            return Err(ToxicError::bad(text));
        }
    };
    let mut all = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let wanted = Wanted::read(&Members::of(item)?)?;
        wanted.check(&format!(" at proxy {}", index + 1))?;
        all.push(wanted);
    }
    Ok(all)
}

/// Leaves a proxy that is as it is asked for, whether it is enabled or not; else makes it anew.
async fn ensure(
    control: &Shared,
    wanted: Wanted,
    caller: Caller,
) -> Result<RouteStatus, ToxicError> {
    let new = resolved(control, wanted).await?;
    let made = off_thread(control, move |ops| {
        let Some(route) = ops.route(&new.route.name).filter(is_proxy) else {
            return Ok(make(ops, new, caller));
        };
        let Proxy { route: wanted, .. } = &new;
        let moves = !wanted.listen.is_served_by(&route.listen);
        if !moves && wanted.upstream.to_string() == route.upstream {
            return Ok(Ok(route));
        }
        Ok(replace(ops, new, moves, caller))
    });
    made.await?
}

/// Puts a proxy in another's place, without the other's toxics and connections. The other goes on as it was where the new
/// one cannot listen.
fn replace(ops: &Ops, new: Proxy, moves: bool, caller: Caller) -> Result<RouteStatus, ToxicError> {
    let NewRoute {
        name,
        listen,
        upstream,
        enabled: is_enabled,
        ..
    } = new.route;
    let change = RouteChange {
        listen: moves.then_some(listen),
        upstream: Some(upstream),
        enabled: Some(is_enabled),
        ..RouteChange::default()
    };
    let mut replaced = change_proxy(ops, &name, change, caller).map_err(bind_error)?;
    if is_enabled && moves {
        // Connections that came in at the old address.
        ops.change_route(&name, enabled(false), caller)?;
        replaced = ops.change_route(&name, enabled(true), caller)?;
    }
    if let Some(listen) = new.listen {
        ops.keep_listen_text(&name, listen);
    }
    for toxic in ops.toxics(&name) {
        // Somebody else may have removed it.
        drop(ops.remove_toxic(&name, &toxic.name, caller));
    }
    Ok(replaced)
}

/// A proxy as it is asked for.
#[derive(Debug)]
struct Wanted {
    name: Option<String>,
    listen: Option<String>,
    upstream: Option<String>,
    enabled: bool,
}

impl Wanted {
    fn read(members: &Members) -> Result<Self, ToxicError> {
        let owned = |key| members.text(key).map(|text| text.map(str::to_owned));
        Ok(Self {
            name: owned("name")?,
            listen: owned("listen")?,
            upstream: owned("upstream")?,
            enabled: members.boolean("enabled")?.unwrap_or(true),
        })
    }

    fn check(&self, place: &str) -> Result<(), ToxicError> {
        const NAME_BYTES_MAX: usize = 256;
        for (key, value) in [("name", &self.name), ("upstream", &self.upstream)] {
            if value.as_deref().unwrap_or_default().is_empty() {
                return Err(ToxicError::bad(format!(
                    "missing required field: {key}{place}"
                )));
            }
        }
        let name = self.name.as_deref().unwrap_or_default();
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let text = "the name has more than 256 bytes or a control character";
            return Err(ToxicError::bad(format!("{text}{place}")));
        }
        Ok(())
    }

    /// May look up a name.
    fn change(&self, enabled: Option<bool>) -> Result<RouteChange, ToxicError> {
        Ok(RouteChange {
            listen: self.listen.as_deref().map(listen).transpose()?,
            upstream: self.upstream.as_deref().map(upstream).transpose()?,
            enabled,
            ..RouteChange::default()
        })
    }
}

/// A proxy that can be made.
#[derive(Debug)]
struct Proxy {
    route: NewRoute,
    /// Where it is to listen as it was written, if it is disabled.
    listen: Option<ListenText>,
}

async fn resolved(control: &Shared, wanted: Wanted) -> Result<Proxy, ToxicError> {
    let new = look_up(control, move || {
        let Wanted {
            name,
            listen: at,
            upstream: to,
            enabled,
        } = wanted;
        let at = at.unwrap_or_default();
        let read = || {
            let found = listen(&at);
            let listen_text = (!enabled).then_some(ListenText {
                text: at,
                is_address: found.is_ok(),
            });
            let listen = match (found, enabled) {
                // It is looked at when the proxy is enabled.
                (Err(_), false) => listen(NO_ADDRESS)?,
                (found, _) => found?,
            };
            let route = NewRoute {
                name: name.unwrap_or_default(),
                listen,
                upstream: upstream(&to.unwrap_or_default())?,
                tls: None,
                enabled,
                caller_faults: false.into(),
                accept_proxy: false,
            };
            Ok(Proxy {
                route,
                listen: listen_text,
            })
        };
        Ok::<_, ApiError>(read())
    });
    new.await?
}

/// Where the route of a proxy without an address would listen, until it is given one.
const NO_ADDRESS: &str = "127.0.0.1:0";

/// Nothing at all is any port of every interface. May look up a name.
fn listen(text: &str) -> Result<ListenAddress, ToxicError> {
    let text = if text.is_empty() { ":0" } else { text };
    ListenAddress::parse(&super::over_ipv4(text)).map_err(|_| {
        let why = format!("listen tcp: {}", wrong_address(text));
        ToxicError::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })
}

/// What Go's `net.SplitHostPort`, and what comes after it, say of an address that is none.
fn wrong_address(text: &str) -> String {
    let address = |why: &str| format!("address {text}: {why}");
    let Some((host, port)) = text.rsplit_once(':') else {
        return address("missing port in address");
    };
    if let Some(inner) = text.strip_prefix('[') {
        match inner.find(']') {
            None => return address("missing ']' in address"),
            Some(end) if end + 2 == text.len() => return address("missing port in address"),
            Some(_) => {}
        }
    } else if host.contains(':') {
        return address("too many colons in address");
    }
    match port.parse::<i64>() {
        Ok(number) if u16::try_from(number).is_err() => {
            format!("address {number}: invalid port")
        }
        Err(_) if !port.is_empty() => format!("lookup tcp/{port}: unknown port"),
        Ok(_) | Err(_) => format!("lookup {host}: no such host"),
    }
}

fn upstream(text: &str) -> Result<Upstream, ToxicError> {
    let text = if text.is_empty() { wire::NOWHERE } else { text };
    Upstream::parse(&format!("tcp://{text}"))
        .map_err(|error| ToxicError::bad(format!("upstream `{text}` {error}")))
}

fn make(ops: &Ops, new: Proxy, caller: Caller) -> Result<RouteStatus, ToxicError> {
    if ops.route(&new.route.name).is_some() {
        return Err(ToxicError::new(
            StatusCode::CONFLICT,
            "proxy already exists",
        ));
    }
    let made = ops.add_route(new.route, caller).map_err(bind_error)?;
    if let Some(listen) = new.listen {
        ops.keep_listen_text(&made.name, listen);
    }
    Ok(made)
}

/// An address that is taken is no conflict there.
fn bind_error(error: OpError) -> ToxicError {
    const SERVER: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    match &error {
        OpError::Taken(text) => {
            let address = text
                .strip_prefix("the address ")
                .and_then(|it| it.strip_suffix(" is taken"));
            match address {
                Some(address) => ToxicError::new(
                    SERVER,
                    format!("listen tcp {address}: bind: address already in use"),
                ),
                None => ToxicError::new(StatusCode::CONFLICT, "proxy already exists"),
            }
        }
        OpError::Invalid(problems) if problems.iter().any(|it| it.pointer == "/listen") => {
            let told = problems.first().map(|problem| problem.detail.clone());
            let told = told.unwrap_or_default();
            // The system's words, as Go has them: in small letters and without their number.
            let by_system = told
                .strip_prefix("could not listen on ")
                .and_then(|told| told.split_once(": "));
            let text = match by_system {
                Some((address, why)) => {
                    let why = why.split(" (os error").next().unwrap_or(why);
                    format!("listen tcp {address}: bind: {}", why.to_lowercase())
                }
                None => format!("listen tcp: {told}"),
            };
            ToxicError::new(SERVER, text)
        }
        _ => error.into(),
    }
}

pub(super) fn found(ops: &Ops, name: &str) -> Result<RouteStatus, ToxicError> {
    ops.route(name)
        .filter(is_proxy)
        .ok_or_else(ToxicError::no_proxy)
}

fn is_proxy(route: &RouteStatus) -> bool {
    route.protocol == Protocol::Tcp
}

fn shown(ops: &Ops, route: &RouteStatus) -> Value {
    let listen = ops.listen_text(&route.name).map(|listen| listen.text);
    wire::proxy(route, listen, &ops.toxics(&route.name))
}

/// What is wrong with where a disabled proxy is to listen, if that keeps it from being enabled.
pub(super) fn cannot_listen(ops: &Ops) -> Option<ToxicError> {
    let mut routes = ops.routes().into_iter().filter(is_proxy);
    routes.find_map(|route| {
        let kept = ops.listen_text(&route.name)?;
        (!kept.is_address).then(|| listen(&kept.text).err())?
    })
}
