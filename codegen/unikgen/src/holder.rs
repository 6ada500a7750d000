//! Which program holds a port of this machine, as far as we may see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::publish::Protocol;

/// The program that holds `at`: its name and number. `None` when it is another user's, or
/// nobody's any more.
pub fn of(protocol: Protocol, at: SocketAddr) -> Option<String> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        Protocol::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
    };
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, protocol, at))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let entries = std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    // `self` is one of them by another name.
    let is_number =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    let holder = entries.filter(|path| is_number(path)).find(|process| holds(process, &sockets))?;
    let name = std::fs::read_to_string(holder.join("comm")).unwrap_or_default();
    Some(format!("{} (process {})", name.trim(), holder.file_name()?.to_str()?))
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

/// The numbers of the sockets in a table of `/proc/net` (proc(5)) that keep `at` from others.
fn inodes(table: &str, protocol: Protocol, at: SocketAddr) -> Vec<u64> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        let state = words.get(3)?;
        let listens = protocol == Protocol::Udp || *state == "0A";
        let address = address_of(address)?;
        let same = address == at.ip() || address.is_unspecified() || at.ip().is_unspecified();
        (listens && same && u16::from_str_radix(port, 16).ok()? == at.port())
            .then(|| words.get(9)?.parse().ok())?
    };
    table.lines().skip(1).filter_map(one).collect()
}

/// Words of 32 bits, each in the byte order of the machine, which is little-endian.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_le_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 12346 1 0 100\n\
            2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100\n\
            3: nonsense\n";
        let of = |at: &str| inodes(table, Protocol::Tcp, at.parse().unwrap());
        assert_eq!(of("127.0.0.1:8080"), [12345]);
        assert_eq!(of("0.0.0.0:8080"), [12345]);
        assert_eq!(of("127.0.0.1:80"), [99]);
        assert!(of("127.0.0.2:8080").is_empty() && of("127.0.0.1:81").is_empty());
        let v6 = "00000000000000000000000001000000";
        assert_eq!(address_of(v6), Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn our_own_ports_are_ours() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(Protocol::Tcp, socket.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }
}
