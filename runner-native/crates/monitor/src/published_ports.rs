//! The ports of the host that lead to a container. netavark makes rules of them and nothing more: so that no program of the host listens there and is
//! never asked, they are held here, by sockets that nobody connects to.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddr, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};
use tbuild_runtime::error::{Context, NativeError, Result};

pub const IN_USE: &str = "network/port-in-use";
const PORT: &str = "network/port";

/// Of netavark's options.
#[derive(Deserialize)]
struct Mapping {
    #[serde(default)]
    host_ip: String,
    host_port: u16,
    #[serde(default)]
    range: u16,
    protocol: String,
}

/// Until they are dropped.
pub struct PublishedPorts(#[expect(dead_code, reason = "held, not used")] Vec<OwnedFd>);

impl PublishedPorts {
    /// `mappings`: netavark's `port_mappings`.
    pub fn hold(mappings: &serde_json::Value) -> Result<Self> {
        let mappings: Option<Vec<Mapping>> =
            Deserialize::deserialize(mappings).map_err(std::io::Error::from).during(PORT, "read the ports that are to be published")?;
        let mut sockets = Vec::new();
        for mapping in mappings.iter().flatten() {
            let address = address(&mapping.host_ip)?;
            for number in 0..mapping.range.max(1) {
                let port = mapping.host_port.checked_add(number).ok_or(Errno::INVAL).during(PORT, "publish a range of ports")?;
                sockets.extend(hold(SocketAddr::from((address, port)), &mapping.protocol)?);
            }
        }
        Ok(Self(sockets))
    }
}

/// Never all of IPv6, where no rule leads on.
fn address(text: &str) -> Result<IpAddr> {
    if text.is_empty() {
        return Ok(Ipv4Addr::UNSPECIFIED.into());
    }
    text.parse().map_err(|_| NativeError::new(PORT, "publish a port").detail(format!("{text:?} is no address of the host")))
}

fn hold(address: SocketAddr, protocol: &str) -> Result<Option<OwnedFd>> {
    let kind = match protocol {
        "tcp" => SocketType::STREAM,
        "udp" => SocketType::DGRAM,
        _ => return Ok(None), // the kernel may lack what sctp takes
    };
    let take = || {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        if kind == SocketType::STREAM {
            sockopt::set_socket_reuseaddr(&socket, true)?; // of connections that have ended
        }
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        if kind == SocketType::STREAM {
            listen(&socket, 0)?;
        }
        Ok(socket)
    };
    match take() {
        Ok(socket) => Ok(Some(socket)),
        // docker's words
        Err(Errno::ADDRINUSE) => {
            Err(NativeError::new(IN_USE, "publish a port").detail(format!("Bind for {address} failed: port is already allocated")))
        }
        Err(errno) => Err(errno).during(PORT, &format!("publish the port {address}/{protocol}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_port_is_held_until_it_is_dropped() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mappings = json!([{ "host_ip": "127.0.0.1", "host_port": free.port(), "container_port": 80, "range": 1, "protocol": "tcp" }]);
        let held = PublishedPorts::hold(&mappings).unwrap();
        let error = PublishedPorts::hold(&mappings).err().unwrap();
        assert_eq!((error.code.as_str(), error.detail), (IN_USE, format!("Bind for {free} failed: port is already allocated")));
        drop(held);
        PublishedPorts::hold(&mappings).unwrap();
    }

    #[test]
    fn none_are_none() {
        PublishedPorts::hold(&json!(null)).unwrap();
        PublishedPorts::hold(&json!([])).unwrap();
        assert!(PublishedPorts::hold(&json!([{ "host_ip": "x", "host_port": 1, "protocol": "tcp" }])).is_err());
    }
}
