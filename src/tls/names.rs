//! For which hosts certificates are, by RFC 9525: names and addresses in `subjectAltName`, a `*` for one whole label.

use std::collections::HashMap;
use std::net::IpAddr;

/// The hosts that one certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Lower case; some begin with `*.`.
    pub(super) hosts: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

/// Which certificates are for which name.
#[derive(Debug, Default)]
pub(super) struct Directory {
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By what is behind `*.`.
    wild: HashMap<Box<str>, Vec<usize>>,
}

impl Names {
    /// Whether they have this host: lower case, without port, an IPv6 address in brackets.
    pub(super) fn cover(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let parent = parent(host);
        self.hosts.iter().any(|name| match name.strip_prefix("*.") {
            Some(under) => parent == Some(under),
            None => name == host,
        })
    }
}

impl Directory {
    pub(super) fn new<'a>(all: impl IntoIterator<Item = &'a Names>) -> Self {
        let mut directory = Self::default();
        for (index, names) in all.into_iter().enumerate() {
            for name in &names.hosts {
                let (shelf, key) = match name.strip_prefix("*.") {
                    Some(under) => (&mut directory.wild, under),
                    None => (&mut directory.exact, name.as_str()),
                };
                shelf.entry(key.into()).or_default().push(index);
            }
        }
        directory
    }

    /// The certificates for a name, exact names before wildcards, in the order of the config; empty when none is.
    pub(super) fn find(&self, name: &str) -> &[usize] {
        let wild = || self.wild.get(parent(name)?);
        self.exact.get(name).or_else(wild).map_or(&[], Vec::as_slice)
    }
}

/// `shop.example` of `www.shop.example`: what a `*` can stand before.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &[&str]) -> Names {
        Names {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            addresses: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])],
        }
    }

    #[test]
    fn a_star_stands_for_one_whole_label() {
        let names = names(&["shop.example", "*.shop.example"]);
        for (host, covered) in [
            ("shop.example", true),
            ("www.shop.example", true),
            ("a.b.shop.example", false),
            (".shop.example", false),
            ("xshop.example", false),
            ("example", false),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("127.0.0.2", false),
            ("", false),
        ] {
            assert_eq!(names.cover(host), covered, "{host}");
        }
    }

    #[test]
    fn exact_names_go_before_wildcards_wherever_they_stand() {
        let all = [names(&["*.example"]), names(&["a.example"]), names(&["b.example", "*.example"])];
        let directory = Directory::new(&all);
        assert_eq!(directory.find("a.example"), [1]);
        assert_eq!(directory.find("b.example"), [2]);
        assert_eq!(directory.find("c.example"), [0, 2]);
        assert_eq!(directory.find("x.a.example"), [0; 0]);
        assert_eq!(directory.find("example"), [0; 0]);
    }
}
