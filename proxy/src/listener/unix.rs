//! Unix sockets that listen, and their files.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::address::UnixAddress;

/// The file of a Unix socket, known again by its number.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: Arc<Path>,
    number: (u64, u64),
}

/// Binds a socket, and makes its file. One on which nobody listens any more, as a process leaves it that was killed, is removed
/// before.
pub(super) fn bind(address: &UnixAddress, backlog: i32) -> io::Result<(Socket, SocketFile)> {
    let path = address.path();
    let socket = new_socket()?;
    let at = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&at) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(path, &at)? {
            return Err(error);
        }
        fs::remove_file(path)?;
        socket.bind(&at)?;
    }
    let file = SocketFile {
        path: path.into(),
        number: number(path)?,
    };
    // Before it listens: nobody can connect meanwhile.
    let listening = set_mode(address).and_then(|()| socket.listen(backlog));
    match listening {
        Ok(()) => Ok((socket, file)),
        Err(error) => {
            file.remove();
            Err(error)
        }
    }
}

/// Gives the file the permissions that are said, if they are.
pub(crate) fn set_mode(address: &UnixAddress) -> io::Result<()> {
    match address.mode() {
        Some(mode) => fs::set_permissions(address.path(), Permissions::from_mode(mode)),
        None => Ok(()),
    }
}

/// Whether a path is a socket on which nobody listens.
fn is_abandoned(path: &Path, at: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let refused = new_socket()?.connect(at);
    Ok(refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn new_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn number(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

impl SocketFile {
    /// Removes the file, unless another has taken its place.
    pub(super) fn remove(self) {
        if number(&self.path).is_ok_and(|now| now == self.number)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "could not remove the file of a socket");
        }
    }
}
