//! Segments that no kernel would send: for connects that are reset while they are made.

use std::{net::SocketAddrV4, os::fd::OwnedFd, process::Command};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use crate::bed::{PATIENCE, netns::Pair, until};

const SYN: u8 = 2;
const RST: u8 = 4;

/// Gives an address of nobody the far end's MAC: what is sent there arrives, and nothing answers.
pub fn silent_host(pair: &Pair, address: &str) {
    let show = || Command::new("ip").args(["-o", "link", "show", "to_a"]).output().unwrap();
    let text = String::from_utf8(pair.b.enter(show).stdout).unwrap();
    let (_, mac) = text.split_once("link/ether ").expect("a MAC");
    let mac = mac.split(' ').next().unwrap();
    pair.a.ip(&["neigh", "add", address, "lladdr", mac, "dev", "to_b"]);
}

/// Sends a SYN of its own to a client that waits for an answer to its SYN, then a RST: the client's connect
/// ends in ECONNRESET, because it had gone from SYN_SENT to SYN_RECV.
pub fn simultaneous_open_and_reset(pair: &Pair, from: &str, to: &str) {
    let (from, to): (SocketAddrV4, SocketAddrV4) = (from.parse().unwrap(), to.parse().unwrap());
    let in_state = |state: &str| {
        let wanted = format!(":{:04X} ", to.port());
        until(PATIENCE, || {
            let table = pair.a.enter(|| std::fs::read_to_string("/proc/thread-self/net/tcp")).unwrap();
            let row = table.lines().find(|row| row.contains(&wanted))?;
            row.split_whitespace().nth(3).filter(|found| *found == state).map(|_| ())
        })
        .unwrap_or_else(|| panic!("the client is not in state {state}"));
    };
    in_state("02");
    let raw = pair.b.enter(|| {
        socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW)).unwrap()
    });
    send(&raw, from, to, 1000, SYN);
    in_state("03");
    send(&raw, from, to, 1001, RST);
}

fn send(raw: &OwnedFd, from: SocketAddrV4, to: SocketAddrV4, sequence: u32, flags: u8) {
    let mut packet = Vec::new();
    // IPv4 without options; the kernel fills in length and checksum of the header.
    packet.extend_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend_from_slice(&from.ip().octets());
    packet.extend_from_slice(&to.ip().octets());
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&from.port().to_be_bytes());
    tcp.extend_from_slice(&to.port().to_be_bytes());
    tcp.extend_from_slice(&sequence.to_be_bytes());
    tcp.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let mut pseudo = [from.ip().octets(), to.ip().octets()].concat();
    pseudo.extend_from_slice(&[0, 6, 0, 20]);
    pseudo.extend_from_slice(&tcp);
    let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    tcp[16..18].copy_from_slice(&(!folded).to_be_bytes());
    packet.extend_from_slice(&tcp);
    sendto(raw, &packet, SendFlags::empty(), &to).unwrap();
}
