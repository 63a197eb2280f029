//! The file of the audit log, written by a thread of its own: a slow disk holds up no call.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::Record;

/// Records that wait for the disk; more are lost.
const WAITING_MAX: usize = 4_096;
/// Files besides the one that is written.
const KEPT: usize = 5;
/// How long the end waits for the disk.
const FLUSH: Duration = Duration::from_secs(1);

/// The sending side.
#[derive(Debug)]
pub(super) struct AuditFile {
    sender: SyncSender<Message>,
    lost: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Write(Box<Record>),
    /// Answered when all that came before is written.
    Flush(SyncSender<()>),
}

impl AuditFile {
    pub(super) fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let writer = Writer::open(path, bytes_max)?;
        let (sender, receiver) = sync_channel(WAITING_MAX);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender,
            lost: AtomicU64::new(0),
        })
    }

    pub(super) fn write(&self, record: Record) {
        match self.sender.try_send(Message::Write(Box::new(record))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(lost, "records of the audit log found no room");
                }
            }
        }
    }

    pub(super) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        let deadline = Instant::now() + FLUSH;
        let mut message = Message::Flush(done);
        // The queue may be full for a moment.
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if Instant::now() >= deadline {
                break;
            }
            thread::yield_now();
            message = back;
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        if is_done.recv_timeout(rest).is_err() {
            tracing::warn!("the audit log may not be written whole");
        }
    }
}

/// The writing side.
struct Writer {
    path: PathBuf,
    bytes_max: u64,
    file: File,
    bytes: u64,
    failures: u64,
}

impl Writer {
    fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let (file, bytes) = open(&path)?;
        Ok(Self {
            path,
            bytes_max,
            file,
            bytes,
            failures: 0,
        })
    }

    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Write(record) => {
                    let mut line = record.to_value().to_string();
                    line.push('\n');
                    self.write(line.as_bytes());
                }
                // Whoever asked may have given up.
                Message::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0
            && self.bytes.saturating_add(length) > self.bytes_max
            && let Err(error) = self.rotate()
        {
            self.tell(&error);
        }
        match self.file.write_all(line) {
            Ok(()) => {
                self.bytes += length;
                self.failures = 0;
            }
            Err(error) => self.tell(&error),
        }
    }

    /// The first failure, and then fewer and fewer.
    fn tell(&mut self, error: &io::Error) {
        self.failures += 1;
        if self.failures.is_power_of_two() {
            let failures = self.failures;
            tracing::warn!(%error, failures, "the audit log could not be written");
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        (self.file, self.bytes) = open(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Opens a file to write behind what it has.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use brownout_fault::Moment;
    use serde_json::{Value, json};

    use super::*;
    use crate::audit::Caller;

    fn record(number: u64) -> Record {
        Record {
            at: Moment {
                instant: Instant::now(),
                wall: std::time::SystemTime::UNIX_EPOCH,
            },
            caller: Caller::of("test"),
            action: "fault.arm",
            subjects: vec![format!("f{number}")],
            change: Value::Null,
            revision: number,
        }
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn records_are_lines_of_json_and_go_on_behind_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for number in [1, 2] {
            let file = AuditFile::open(path.clone(), 1_000_000).unwrap();
            file.write(record(number));
            file.flush();
        }

        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[1],
            json!({
                "at": "1970-01-01T00:00:00Z", "by": "test", "action": "fault.arm", "subjects": ["f2"],
                "revision": 2,
            })
        );
    }

    #[test]
    fn a_file_that_is_full_makes_way_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let file = AuditFile::open(path.clone(), 250).unwrap();
        for number in 0..40 {
            file.write(record(number));
            file.flush();
        }

        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1 + KEPT);
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert!(entry.unwrap().metadata().unwrap().len() <= 250);
        }
        assert_eq!(lines(&path).last().unwrap()["revision"], 39);
        // None is lost between one file and the next.
        let mut numbered = path.clone().into_os_string();
        numbered.push(".1");
        let last_before = lines(Path::new(&numbered)).pop().unwrap();
        let first = lines(&path)[0]["revision"].as_u64().unwrap();
        assert_eq!(last_before["revision"], first - 1);
    }

    #[test]
    fn a_full_disk_loses_records_and_nothing_else() {
        let file = AuditFile::open("/dev/full".into(), 1_000_000).unwrap();
        for number in 0..10 {
            file.write(record(number));
        }
        file.flush();
    }
}
