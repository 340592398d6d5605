//! Where the daemon's socket is: one rule for the daemon and for every tool.

use alloc::vec::Vec;
use core::fmt;

/// The environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "AVPUD_SOCKET";
/// The socket of a daemon that runs as root.
pub const SYSTEM_SOCKET: &str = "/run/avpud/avpud.sock";
/// The environment variable that names the runtime directory of an ordinary user.
pub const RUNTIME_DIR_VARIABLE: &str = "XDG_RUNTIME_DIR";
/// The socket's name in that directory.
pub const RUNTIME_SOCKET: &str = "avpud.sock";

/// The first that holds: the `--socket` flag, `$AVPUD_SOCKET`, [`SYSTEM_SOCKET`] as root,
/// [`RUNTIME_SOCKET`] in `$XDG_RUNTIME_DIR`. Paths are bytes, as the system has them; empty counts as absent.
///
/// # Errors
/// When nothing says where.
pub fn path(
    flag: Option<&[u8]>,
    avpud_socket: Option<&[u8]>,
    xdg_runtime_dir: Option<&[u8]>,
    is_root: bool,
) -> Result<Vec<u8>, NoSocketPath> {
    let present = |value: Option<&[u8]>| value.filter(|path| !path.is_empty()).map(<[u8]>::to_vec);
    if let Some(path) = present(flag).or_else(|| present(avpud_socket)) {
        return Ok(path);
    }
    if is_root {
        return Ok(SYSTEM_SOCKET.as_bytes().to_vec());
    }
    let mut path = present(xdg_runtime_dir).ok_or(NoSocketPath)?;
    path.push(b'/');
    path.extend_from_slice(RUNTIME_SOCKET.as_bytes());
    Ok(path)
}

/// Nothing says where the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSocketPath;

impl fmt::Display for NoSocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected --socket, ${SOCKET_VARIABLE} or ${RUNTIME_DIR_VARIABLE}, found none of them"
        )
    }
}

impl core::error::Error for NoSocketPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_then_the_variable_then_root_then_the_runtime_directory() {
        let (flag, variable, runtime) = (&b"/f"[..], &b"/v"[..], &b"/run/user/7"[..]);
        let rule = |flag, variable, runtime, root| path(flag, variable, runtime, root).unwrap();
        let (f, v, r) = (Some(flag), Some(variable), Some(runtime));
        assert_eq!(rule(f, v, r, true), b"/f");
        assert_eq!(rule(None, v, r, true), b"/v");
        assert_eq!(rule(None, None, r, true), b"/run/avpud/avpud.sock");
        assert_eq!(rule(None, None, r, false), b"/run/user/7/avpud.sock");
        assert_eq!(path(None, None, None, false), Err(NoSocketPath));
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let empty = Some(&b""[..]);
        assert_eq!(path(empty, empty, empty, false), Err(NoSocketPath));
        let fallback = path(empty, empty, Some(b"/r"), false).unwrap();
        assert_eq!(fallback, b"/r/avpud.sock");
    }
}
