//! Routes as they are written, turned into what the proxy can make. May resolve names, and so block.

use brownout_fault::read::{Problem, nearest};
use brownout_proxy::{
    CertificateFiles, HostField, HttpVersion, InvalidTls, InvalidUpstream, ListenAddress,
    ListenerTls, ListenerTlsChange, ListenerTlsOptions, NewRoute, Protocol as Carried, RouteChange,
    RouteStatus, Upstream, UpstreamOptions, UpstreamTlsOptions,
};
use brownout_wire::{
    CertificateSpec, ListenerTlsSpec, Protocol, RoutePatch, RouteSpec, UpstreamTlsSpec,
};

use super::options::with_options;

/// What is wrong with a route's addresses and options.
pub type InvalidRoute = Vec<Problem>;

/// Turns a route as it is written into one that the proxy can make. May resolve the name in `listen`, and reads the files
/// of its TLS.
///
/// # Errors
/// One problem for each address that is none and each option that cannot be used.
pub fn new_route(spec: &RouteSpec) -> Result<NewRoute, InvalidRoute> {
    let patch = RoutePatch {
        listen: Some(spec.listen.clone()),
        upstream: Some(spec.upstream.clone()),
        tls: spec.tls.clone(),
        upstream_tls: spec.upstream_tls.clone(),
        host: spec.host.clone(),
        options: spec.options.clone(),
        ..RoutePatch::default()
    };
    let asked = spec.protocol.map(carried);
    let change = change(&patch, asked, None)?;
    let (Some(listen), Some(upstream)) = (change.listen, change.upstream) else {
        return Err(Vec::new());
    };
    if let Some(asked) = asked
        && asked != upstream.protocol()
    {
        let detail = format!("is {asked}, but the upstream is {upstream}");
        return Err(vec![Problem::at("protocol", detail)]);
    }
    let upstream = speaking(upstream, spec.protocol).map_err(|problem| vec![problem])?;
    Ok(NewRoute {
        name: spec.name.clone(),
        listen,
        upstream,
        tls: match change.tls {
            Some(ListenerTlsChange::To(tls)) => Some(tls),
            Some(ListenerTlsChange::Off) | None => None,
        },
        enabled: spec.enabled,
        caller_faults: spec.caller_faults.clone(),
        accept_proxy: spec.accept_proxy,
    })
}

/// Turns a change of the route `now` as it is written into one that the proxy can make. May resolve the name in `listen`,
/// and reads the files of TLS.
pub(crate) fn route_change(
    patch: &RoutePatch,
    now: &RouteStatus,
) -> Result<RouteChange, InvalidRoute> {
    change(patch, Some(now.protocol), Some(now))
}

/// TLS of the control API as it is written; `None` is none. Reads its files.
///
/// # Errors
/// When a file cannot be read or used.
pub fn control_tls(spec: &ListenerTlsSpec) -> Result<Option<ListenerTls>, Problem> {
    Ok(match listener_tls(spec)? {
        ListenerTlsChange::To(tls) => Some(tls),
        ListenerTlsChange::Off => None,
    })
}

fn change(
    patch: &RoutePatch,
    protocol: Option<Carried>,
    now: Option<&RouteStatus>,
) -> Result<RouteChange, InvalidRoute> {
    let mut problems = Vec::new();
    let listen = patch.listen.as_deref().and_then(|listen| {
        let parsed = ListenAddress::parse(listen);
        parsed
            .map_err(|error| problems.push(Problem::at("listen", error.to_string())))
            .ok()
    });
    let upstream = upstream(patch, protocol, now).unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    let tls = match patch.tls.as_ref().map(listener_tls) {
        None => None,
        Some(Ok(tls)) => Some(tls),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(RouteChange {
        listen,
        upstream,
        tls,
        enabled: patch.enabled,
        caller_faults: patch.caller_faults.clone(),
        accept_proxy: patch.accept_proxy,
        of_revision: now.map(|now| now.revision),
    })
}

/// The upstream with its options; `None` if nothing of it is to change. What the change does not say stays as it is `now`.
fn upstream(
    patch: &RoutePatch,
    protocol: Option<Carried>,
    now: Option<&RouteStatus>,
) -> Result<Option<Upstream>, Vec<Problem>> {
    if patch.upstream.is_none()
        && patch.upstream_tls.is_none()
        && patch.host.is_none()
        && patch.options.is_empty()
    {
        return Ok(None);
    }
    let text = (patch.upstream.as_deref()).or_else(|| now.map(|now| now.upstream.as_str()));
    let text = text.unwrap_or_default();
    let asked = patch.upstream_tls.as_ref().map(upstream_tls_options);
    let kept = now.and_then(|now| now.upstream_tls.clone());
    // They end with an upstream that is no longer reached with TLS.
    let kept = kept.filter(|_| text.starts_with("https://") || text.starts_with("tls://"));
    let tls = asked.or(kept);
    let parsed = match protocol {
        // Without a scheme it is read with the one of its route, where only one is possible.
        Some(Carried::Tcp) => Upstream::parse_with(&as_tcp(text), tls.as_ref()),
        Some(Carried::Http) | None => Upstream::parse_with(text, tls.as_ref()),
    };
    let upstream = parsed.map_err(|error| match &error {
        InvalidUpstream::Tls(wrong) => tls_problems(text, tls.unwrap_or_default(), wrong),
        InvalidUpstream::NotTls => vec![Problem::at(
            "upstream_tls",
            format!("the upstream {text} {error}"),
        )],
        InvalidUpstream::Option { option, .. } => vec![Problem::at(option, error.to_string())],
        InvalidUpstream::Malformed
        | InvalidUpstream::NoPort
        | InvalidUpstream::Path { .. }
        | InvalidUpstream::UnixPath
        | InvalidUpstream::Mixed
        | InvalidUpstream::Credentials
        | InvalidUpstream::HostField
        | InvalidUpstream::HostOfTcp => vec![Problem::at("upstream", error.to_string())],
    })?;
    let host = match patch.host.as_deref() {
        None => now.map_or(HostField::Keep, |now| now.host.clone()),
        Some("keep") => HostField::Keep,
        Some("upstream") => HostField::Upstream,
        Some(text) => {
            // A name without a dot may be a host of a network of containers, but not one that is nearly a word of ours.
            let near = nearest(text, &["keep", "upstream"]);
            if let Some(near) = near.filter(|_| !text.contains(['.', ':'])) {
                let detail = format!(
                    "`{text}` is neither \"keep\", \"upstream\" nor a host; did you mean `{near}`? A host of that name is \
                     written with its port"
                );
                return Err(vec![Problem::at("host", detail)]);
            }
            HostField::Text(text.to_owned())
        }
    };
    let upstream = upstream.with_host(host);
    let upstream = upstream.map_err(|error| vec![Problem::at("host", error.to_string())])?;
    let options = now.map(|now| now.options.clone()).unwrap_or_default();
    let upstream = with_options(upstream, &patch.options, options);
    upstream.map(Some).map_err(|problem| vec![problem])
}

/// Every option of TLS to an upstream that is wrong, of which `first` was told first: without that one the next is told.
fn tls_problems(text: &str, mut left: UpstreamTlsOptions, first: &InvalidTls) -> Vec<Problem> {
    /// There are so many options.
    const OPTIONS: usize = 6;
    let mut problems = vec![placed("upstream_tls", first)];
    let mut wrong = first.clone();
    for _ in 0..OPTIONS {
        match wrong.field.as_str() {
            // What the system trusts is not asked about in its place.
            "ca" => (left.ca, left.insecure) = (None, true),
            "insecure" => left.insecure = false,
            "cert" | "key" => (left.cert, left.key) = (None, None),
            "server_name" if left.server_name.is_some() => left.server_name = None,
            "alpn" => left.alpn = None,
            _ => break,
        }
        let Err(InvalidUpstream::Tls(next)) = Upstream::parse_with(text, Some(&left)) else {
            break;
        };
        problems.push(placed("upstream_tls", &next));
        wrong = next;
    }
    problems
}

/// An upstream that gets bytes, with the scheme of each of its servers.
fn as_tcp(text: &str) -> String {
    if text.starts_with("unix:") {
        return format!("tcp+{}", text.replace(",unix:", ",tcp+unix:"));
    }
    if text.contains("://") || text.contains("+unix:") {
        return text.to_owned();
    }
    let servers = text.split(',').map(|it| format!("tcp://{}", it.trim()));
    servers.collect::<Vec<_>>().join(",")
}

fn listener_tls(spec: &ListenerTlsSpec) -> Result<ListenerTlsChange, Problem> {
    let options = match spec {
        ListenerTlsSpec::Off => return Ok(ListenerTlsChange::Off),
        ListenerTlsSpec::Own => ListenerTlsOptions::Own,
        ListenerTlsSpec::Files { main, others } => ListenerTlsOptions::Files {
            main: files(main),
            others: others.iter().map(files).collect(),
        },
    };
    let loaded = ListenerTls::load(options).map_err(|wrong| placed("tls", &wrong))?;
    Ok(ListenerTlsChange::To(loaded))
}

/// A problem with the option `key`, or with one in it.
fn placed(key: &str, wrong: &InvalidTls) -> Problem {
    let mut problem = Problem::here(wrong.detail.clone());
    for part in wrong.field.rsplit('/').filter(|part| !part.is_empty()) {
        problem = problem.under(part);
    }
    problem.under(key)
}

fn files(spec: &CertificateSpec) -> CertificateFiles {
    CertificateFiles {
        cert: (&spec.cert).into(),
        key: (&spec.key).into(),
        names: spec.names.clone(),
    }
}

fn upstream_tls_options(spec: &UpstreamTlsSpec) -> UpstreamTlsOptions {
    let UpstreamTlsSpec {
        ca,
        cert,
        key,
        server_name,
        insecure,
        alpn,
    } = spec.clone();
    UpstreamTlsOptions {
        ca: ca.map(Into::into),
        cert: cert.map(Into::into),
        key: key.map(Into::into),
        server_name,
        insecure,
        alpn,
    }
}

/// TLS of a listener as the API shows it.
pub(crate) fn shown_tls(tls: &ListenerTls) -> ListenerTlsSpec {
    let shown = |files: &CertificateFiles| CertificateSpec {
        cert: files.cert.display().to_string(),
        key: files.key.display().to_string(),
        names: files.names.clone(),
    };
    match tls.options() {
        ListenerTlsOptions::Own => ListenerTlsSpec::Own,
        ListenerTlsOptions::Files { main, others } => ListenerTlsSpec::Files {
            main: shown(main),
            others: others.iter().map(shown).collect(),
        },
    }
}

/// TLS to an upstream as the API shows it.
pub(crate) fn shown_upstream_tls(options: &UpstreamTlsOptions) -> UpstreamTlsSpec {
    let UpstreamTlsOptions {
        ca,
        cert,
        key,
        server_name,
        insecure,
        alpn,
    } = options.clone();
    let shown = |path: std::path::PathBuf| path.display().to_string();
    UpstreamTlsSpec {
        ca: ca.map(shown),
        cert: cert.map(shown),
        key: key.map(shown),
        server_name,
        insecure,
        alpn,
    }
}

/// The upstream, spoken to in the version of HTTP that its route's protocol says.
fn speaking(upstream: Upstream, protocol: Option<Protocol>) -> Result<Upstream, Problem> {
    let http = match protocol {
        None | Some(Protocol::Http | Protocol::Tcp) => return Ok(upstream),
        Some(Protocol::H2) => HttpVersion::Http2,
        Some(Protocol::Auto) => HttpVersion::Auto,
    };
    let options = UpstreamOptions {
        http,
        ..upstream.options().clone()
    };
    let spoken = upstream.with_options(options);
    spoken.map_err(|error| match &error {
        InvalidUpstream::Option { option, .. } => Problem::at(option, error.to_string()),
        _ => Problem::at("protocol", error.to_string()),
    })
}

fn carried(protocol: Protocol) -> Carried {
    match protocol {
        Protocol::Http | Protocol::H2 | Protocol::Auto => Carried::Http,
        Protocol::Tcp => Carried::Tcp,
    }
}
