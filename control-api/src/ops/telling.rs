//! What of a change is told to those who listen.

use std::time::Instant;

use brownout_fault::{EndedFault, News};
use brownout_wire::EventRecord;

use super::{Change, EndReason};

impl Change<'_> {
    /// Tells that `action` was done to `subjects`. The end of a fault is told for itself.
    pub(super) fn tell_done(&self, action: &str, subjects: &[String]) {
        let (sort, word) = match action {
            "fault.arm" | "fault.put" => ("fault", "created"),
            "fault.patch" => ("fault", "changed"),
            "route.add" => ("route", "created"),
            "route.change" => ("route", "changed"),
            "route.remove" => ("route", "removed"),
            "lease.add" => ("lease", "created"),
            "lease.remove" => ("lease", "removed"),
            "lease.expire" => ("lease", "expired"),
            "halt" => {
                return self.tell(EventRecord {
                    event: "halt".to_owned(),
                    faults: Some(subjects.to_vec()),
                    ..EventRecord::default()
                });
            }
            _ => return,
        };
        for subject in subjects {
            let mut event = EventRecord::default();
            let mut word = word;
            match sort {
                "fault" => {
                    if let Some((kind, revision, created_at)) = self.state.writer.form_of(subject) {
                        event.kind = Some(kind.to_owned());
                        event.revision = Some(revision);
                        // It may have been changed in its place.
                        if created_at != self.now {
                            word = "changed";
                        }
                    }
                    event.fault = Some(subject.clone());
                }
                "route" => event.route = Some(subject.clone()),
                _ => event.lease = Some(subject.clone()),
            }
            event.event = format!("{sort}.{word}");
            self.tell(event);
        }
    }

    /// Tells that a fault has ended.
    pub(super) fn tell_end(&self, fault: &EndedFault, reason: EndReason) {
        if let Some(first) = fault.take_first_strike() {
            self.tell_strike(&fault.id, first);
        }
        let word = match reason {
            EndReason::Expired | EndReason::Spent => "expired",
            EndReason::Halted => "halted",
            EndReason::Removed
            | EndReason::Replaced
            | EndReason::Lease
            | EndReason::Route
            | EndReason::Shutdown => "removed",
        };
        self.tell(EventRecord {
            event: format!("fault.{word}"),
            fault: Some(fault.id.clone()),
            kind: Some(fault.spec.fault.name().to_owned()),
            reason: Some(reason.word().to_owned()),
            counters: Some(fault.counters().into()),
            ..EventRecord::default()
        });
    }

    /// Tells what armed faults did that is told once.
    pub(super) fn tell_news(&mut self) {
        for (id, news) in self.state.writer.take_news() {
            match news {
                News::Struck(first) => self.tell_strike(&id, first),
                News::Spent => self.tell(EventRecord {
                    event: "fault.spent".to_owned(),
                    fault: Some(id),
                    ..EventRecord::default()
                }),
            }
        }
    }

    fn tell_strike(&self, id: &str, first: Instant) {
        self.ops.events.tell(EventRecord {
            event: "fault.struck_first".to_owned(),
            t_us: self.ops.clock.micros(first),
            fault: Some(id.to_owned()),
            ..EventRecord::default()
        });
    }

    fn tell(&self, event: EventRecord) {
        self.ops.events.tell(EventRecord {
            t_us: self.ops.clock.micros(self.now.instant),
            by: Some(self.caller.by.to_owned()),
            ..event
        });
    }
}
