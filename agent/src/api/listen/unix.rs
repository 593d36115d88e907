//! The unix socket: only its owner reaches it. What a dead agent left is replaced, what a live one has is not touched.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::words;

/// A unix socket that cannot be.
#[derive(Debug, Error)]
pub enum UnixError {
    /// The folder cannot be made or looked at.
    #[error("listen: unix:{}: the folder {}: {}", path.display(), folder.display(), words(source))]
    Folder {
        /// The socket.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can put their own socket there.
    #[error(
        "listen: unix:{}: others can write to the folder {} (mode {mode:04o}); give the socket a folder of its own",
        path.display(),
        folder.display()
    )]
    Open {
        /// The socket.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// The folder's mode.
        mode: u32,
    },
    /// Something else is there.
    #[error("listen: unix:{}: is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// Somebody serves there.
    #[error("listen: unix:{}: another process serves there", .0.display())]
    Live(PathBuf),
    /// The socket.
    #[error("listen: unix:{}: {}", path.display(), words(source))]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that is listened at; its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    pub(super) async fn bind(path: &Path) -> Result<Self, UnixError> {
        private_folder(path)?;
        clear(path).await?;
        let failed = |source| UnixError::Socket { path: path.to_owned(), source };
        let listener = listen(path).map_err(failed)?;
        let file = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), inode: (file.dev(), file.ino()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Only our own: the next agent may be there already.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds, makes it private, and only then listens: before that nobody can connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    const BACKLOG: i32 = 128;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Makes the folder, or sees to it that nobody else can put something there.
fn private_folder(path: &Path) -> Result<(), UnixError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let failed = |source| UnixError::Folder { path: path.to_owned(), folder: folder.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let there = fs::metadata(folder).map_err(failed)?;
    let mode = there.mode() & 0o7777;
    let own = there.uid() == rustix::process::geteuid().as_raw();
    if mode & 0o077 == 0 && own {
        return Ok(());
    }
    // A folder of the socket's own (in Kubernetes: an emptyDir, which is born 0777) is closed; /run or /tmp is not.
    if own && alone(folder, path).map_err(failed)? {
        return fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed);
    }
    // A sticky folder such as /tmp protects the file, but not the name of one that is gone.
    if mode & 0o022 == 0 && (own || there.uid() == 0) {
        return Ok(());
    }
    Err(UnixError::Open { path: path.to_owned(), folder: folder.to_owned(), mode })
}

/// Whether nothing but the socket is in the folder.
fn alone(folder: &Path, path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if Some(entry?.file_name().as_os_str()) != path.file_name() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes what a dead agent left.
async fn clear(path: &Path) -> Result<(), UnixError> {
    const ANSWER: Duration = Duration::from_secs(1);
    let failed = |source| UnixError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.file_type().is_socket() => return Err(UnixError::NoSocket(path.to_owned())),
        Ok(_) => {}
    }
    match timeout(ANSWER, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Connected, or its queue is full: somebody is there.
        _ => Err(UnixError::Live(path.to_owned())),
    }
}
