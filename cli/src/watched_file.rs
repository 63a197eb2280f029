//! A file that is looked at for changes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

/// How often the file is looked at. A look takes microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A file, and what it was like when it was last read.
///
/// It is looked at, not watched: editors replace files, mounts change under them, and containers are given links to links.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    /// What it was like when it was last read, or an attempt was made.
    taken: Option<Look>,
    seen: Option<Look>,
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl WatchedFile {
    /// To be called before the file is read.
    pub(crate) fn new(path: &Path) -> Self {
        let now = look(path);
        Self {
            path: path.to_owned(),
            taken: now,
            seen: now,
        }
    }

    /// To be called before the file is read for another reason than a change.
    pub(crate) fn is_taken(&mut self) {
        self.taken = look(&self.path);
    }

    /// Waits until the file is another one than when it was last taken, which it then is. Two looks must have found the same:
    /// what is just being written is not taken half. A file that is gone has not changed.
    ///
    /// It may be dropped and called again without missing a change.
    pub(crate) async fn changed(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            let now = look(&self.path);
            let has_settled = now == self.seen;
            self.seen = now;
            if has_settled && now.is_some() && now != self.taken {
                self.taken = now;
                return;
            }
        }
    }
}

/// `None` for what cannot be looked at, and for pipes, which are read once.
fn look(path: &Path) -> Option<Look> {
    let read = || -> io::Result<Option<Look>> {
        let found = fs::metadata(path)?;
        Ok(found.is_file().then_some(Look {
            modified: found.modified()?,
            bytes: found.len(),
            inode: found.ino(),
        }))
    };
    read().ok().flatten()
}
