//! Who may ask, by address.

use std::net::IpAddr;

use ipnet::IpNet;

/// Which client addresses a service answers. By default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Only these; empty: all.
    pub allow: Vec<IpNet>,
    /// Not these, whatever else is said of them.
    pub deny: Vec<IpNet>,
}

/// Peers that speak for others: what they say of their clients is believed. By default nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl Access {
    /// Whether a client with this address may ask.
    pub fn admits(&self, client: IpAddr) -> bool {
        !holds(&self.deny, client) && (self.allow.is_empty() || holds(&self.allow, client))
    }
}

impl TrustedProxies {
    /// Whether whoever has this address is one of them.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        holds(&self.0, peer)
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_denied_and_what_is_allowed_is_all_that_is() {
        let networks = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let lists = |allow, deny| Access { allow: networks(allow), deny: networks(deny) };
        for (access, ip, admitted) in [
            (Access::default(), "192.0.2.1", true),
            (lists(&["10.0.0.0/8"], &[]), "10.1.2.3", true),
            (lists(&["10.0.0.0/8"], &[]), "192.0.2.1", false),
            (lists(&["10.0.0.0/8"], &[]), "::1", false),
            (lists(&[], &["10.0.0.0/8"]), "10.1.2.3", false),
            (lists(&[], &["10.0.0.0/8"]), "192.0.2.1", true),
            (lists(&["10.0.0.0/8"], &["10.1.0.0/16"]), "10.1.2.3", false),
            (lists(&["10.1.0.0/16"], &["10.0.0.0/8"]), "10.1.2.3", false),
            (lists(&["2001:db8::/32"], &[]), "2001:db8::1", true),
        ] {
            assert_eq!(access.admits(ip.parse().unwrap()), admitted, "{access:?} {ip}");
        }
    }
}
