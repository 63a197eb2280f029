//! Who calls whom, and where brownout stands.

use super::{Page, escape};
use crate::{
    forensics::join::JoinedBy,
    run::{Account, FaultTruth, RouteAccount, RunRecord},
};

/// Deeper than this no call is followed.
const DEPTH_MAX: usize = 8;

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    let Some(account) = &record.account else {
        return;
    };
    if record.run.routes.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"map\">\n<h2 id=\"map\">Who calls whom</h2>\n\
         <p class=\"note\">brownout stands at each route, between a caller and an upstream. It sees and breaks only what passes there.</p>\n"
    ));
    if let Some(why) = &account.calls_unknown {
        page.put(format_args!(
            "<p>Who calls a route is undetermined, because {}.</p>\n<ul class=\"map\">\n",
            escape(why)
        ));
        for it in &record.run.routes {
            page.put(format_args!("<li>{}</li>\n", place(record, &it.name, "")));
        }
        page.put(format_args!("</ul>\n</section>\n"));
        return;
    }
    page.put(format_args!(
        "<ul class=\"map\">\n<li><strong>Load</strong>: {}\n",
        escape(&record.run.load)
    ));
    let first: Vec<&RouteAccount> = account
        .routes
        .iter()
        .filter(|it| it.called_by.is_none() && it.of_pages > 0)
        .collect();
    branches(page, record, account, &first, 0);
    page.put(format_args!("</li>\n</ul>\n"));
    let unknown: Vec<&RouteAccount> = account
        .routes
        .iter()
        .filter(|it| it.of_pages == 0)
        .collect();
    if !unknown.is_empty() {
        page.put(format_args!("<p>Who makes these calls is undetermined, because they carry no id of a page, and are not joined to pages by time:</p>\n<ul class=\"map\">\n"));
        for it in unknown {
            page.put(format_args!(
                "<li>{}</li>\n",
                place(record, &it.route, &calls(it))
            ));
        }
        page.put(format_args!("</ul>\n"));
    }
    page.put(format_args!("</section>\n"));
}

fn branches(
    page: &mut Page,
    record: &RunRecord,
    account: &Account,
    routes: &[&RouteAccount],
    depth: usize,
) {
    if routes.is_empty() || depth >= DEPTH_MAX {
        return;
    }
    page.put(format_args!("<ul>\n"));
    for it in routes {
        page.put(format_args!(
            "<li>{}\n",
            place(record, &it.route, &calls(it))
        ));
        let next: Vec<&RouteAccount> = account
            .routes
            .iter()
            .filter(|other| other.called_by.as_deref() == Some(&it.route))
            .collect();
        branches(page, record, account, &next, depth + 1);
        page.put(format_args!("</li>\n"));
    }
    page.put(format_args!("</ul>\n"));
}

fn calls(route: &RouteAccount) -> String {
    let by_time = match route.joined_by {
        Some(JoinedBy::Serial) => ", joined to pages by time",
        Some(JoinedBy::Id | JoinedBy::Totals) | None => "",
    };
    let all = format!("{} calls in the run{by_time}", route.calls);
    let others = route
        .calls
        .saturating_sub(route.of_pages + route.of_cut_off);
    if route.of_pages == 0 || route.of_pages == route.calls {
        return all;
    }
    let mut parts = vec![format!("{} for pages that ended", route.of_pages)];
    if route.of_cut_off > 0 {
        parts.push(format!(
            "{} for pages that were cut off when the load ended",
            route.of_cut_off
        ));
    }
    if others > 0 {
        parts.push(match route.joined_by {
            Some(JoinedBy::Serial) => format!("{others} while no page was asked for"),
            Some(JoinedBy::Id | JoinedBy::Totals) | None => {
                format!("{others} without the id of a page of the load")
            }
        });
    }
    format!("{all}: {}", parts.join(", "))
}

/// A route with its addresses, as markup.
fn place(record: &RunRecord, name: &str, calls: &str) -> String {
    let Some(route) = record.run.routes.iter().find(|it| it.name == name) else {
        return format!("route <strong>{}</strong>", escape(name));
    };
    let faults = record.faults.iter().filter(|it| strikes(it, name));
    let mut ids: Vec<&str> = faults.map(|it| it.id.as_str()).collect();
    ids.dedup();
    let hit = match ids.is_empty() {
        true => String::new(),
        false => format!(
            " <span class=\"badge band\">fault here: {}</span>",
            escape(&ids.join(", "))
        ),
    };
    format!(
        "<span class=\"via\">brownout route <strong>{}</strong> <code>{}</code></span> → <code>{}</code>{hit}<span class=\"line\">{}</span>",
        escape(name),
        escape(&route.listen),
        escape(&route.upstream),
        escape(calls)
    )
}

/// Whether a fault is on a route, by what its record says in words.
pub(super) fn strikes(fault: &FaultTruth, route: &str) -> bool {
    let on = fault.what.rsplit_once(" on ").map_or("", |(_, on)| on);
    let on = on.split(" for ").next().unwrap_or_default();
    on.split(", ").any(|it| it == route)
}
