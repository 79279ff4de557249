//! Which addresses belong to the public internet. Everything else is somebody's own network, and a call that a model wrote
//! has no business there unless the configuration says so (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// IPv4 outside of the public internet: network, prefix length, what it is (IANA special-purpose registry).
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared (CGNAT)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, where clouds serve metadata"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay to IPv6"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6, alike. What is not in 2000::/3 is not public at all; these are the exceptions within, and those worth a name.
const SPECIAL_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a tunnel or reserved for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a tunnel to IPv4 (6to4)"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private (ULA)"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// What an address is if it is not one of the public internet. IPv4 within IPv6 is taken for what it is.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let inside = |net: &Ipv4Addr, length: u32| (address.to_bits() ^ net.to_bits()) >> (32 - length) == 0;
            SPECIAL_V4.iter().find(|(net, length, _)| inside(net, *length)).map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) => {
            let inside = |net: &Ipv6Addr, length: u32| (address.to_bits() ^ net.to_bits()) >> (128 - length) == 0;
            let named = SPECIAL_V6.iter().find(|(net, length, _)| inside(net, *length)).map(|(_, _, what)| *what);
            named.or((address.segments()[0] >> 13 != 1).then_some("not of the public internet"))
        }
    }
}

/// A network, or one port of it, that calls may reach although it is not public: `10.1.0.0/16`, `127.0.0.1:8765`,
/// `[::1]:8765`, `192.168.1.7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    net: IpNet,
    port: Option<u16>,
}

impl Network {
    /// Whether it holds this place.
    pub(super) fn holds(&self, address: IpAddr, port: u16) -> bool {
        self.net.contains(&address.to_canonical()) && self.port.is_none_or(|own| own == port)
    }
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: it takes `127.0.0.1:8765`, `192.168.1.7` or `10.1.0.0/16`")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = |address: IpAddr, port| Self { net: address.to_canonical().into(), port };
        if let Ok(place) = text.parse::<std::net::SocketAddr>() {
            return Ok(whole(place.ip(), Some(place.port())));
        }
        let network = text.parse::<IpNet>().map(|net| Self { net, port: None });
        network.or_else(|_| text.parse().map(|address| whole(address, None))).map_err(|_| NetworkError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for public in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert_eq!(special(public.parse().unwrap()), None, "{public}");
        }
        let not = "0.0.0.0 127.0.0.1 127.255.0.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254 100.64.0.1 \
             100.100.100.200 192.0.0.192 168.63.129.16 198.19.0.1 224.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 \
             ::ffff:a9fe:a9fe ::127.0.0.1 64:ff9b::7f00:1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2002:7f00:1:: \
             2001::1 2001:db8::1 100::1";
        for address in not.split_whitespace() {
            assert!(special(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn a_network_may_be_one_port() {
        let one: Network = "127.0.0.1:8765".parse().unwrap();
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(one.holds(mapped, 8765) && !one.holds(mapped, 8766));
        let net: Network = "10.1.0.0/16".parse().unwrap();
        assert!(net.holds("10.1.2.3".parse().unwrap(), 1) && !net.holds("10.2.0.1".parse().unwrap(), 1));
        assert!("localhost:80".parse::<Network>().is_err());
    }
}
