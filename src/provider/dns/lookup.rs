//! One lookup of one name: the hosts file first, then the name servers, with the system's search list.
//!
//! The search is done here and not left to the resolver: it would search for IPv4 and IPv6 apart and could mix the
//! addresses of two different hosts.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// A lookup that takes longer has failed. It bounds real I/O, so it is real time.
const LOOKUP: Duration = Duration::from_secs(10);
/// However long an answer lives, the name is looked up again after this.
const LONGEST: Duration = Duration::from_secs(300);
/// The hosts file gives no lifetime, and reading it costs little.
const FILE_TTL: Duration = Duration::from_secs(5);
/// The name server inside Docker's networks. It gives every answer 600 s, while containers come and go.
const DOCKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));
/// How long its answers are believed.
const DOCKER_LONGEST: Duration = Duration::from_secs(10);

/// How this machine looks names up.
pub(super) struct System {
    hosts: Hosts,
    /// `Err`: why no name server can be asked.
    servers: Result<(ResolverConfig, ResolverOpts), String>,
}

/// What a lookup of both families showed.
pub(super) struct Looked {
    pub(super) v4: Answers,
    pub(super) v6: Answers,
    /// The longest time to believe it, whatever it says itself.
    pub(super) longest: Duration,
}

/// What a lookup of one family showed.
pub(super) enum Answers {
    Addresses {
        /// At least one.
        addresses: Vec<IpAddr>,
        /// How long they are good.
        ttl: Duration,
    },
    /// There are none, for this reason.
    Nothing(String),
    /// Nobody knows, for this reason.
    Failed(String),
}

impl System {
    /// As the system's files say now.
    pub(super) fn read() -> Self {
        // Without a hosts file there is nothing in it: that is no failure.
        let hosts = fs::read(HOSTS).unwrap_or_default();
        let servers = fs::read(RESOLV_CONF)
            .map_err(|error| format!("can't read {RESOLV_CONF}: {error}"))
            .and_then(|text| name_servers(&text));
        Self { hosts: read_hosts(&hosts), servers }
    }

    pub(super) async fn find(self, name: &str) -> Looked {
        let names = match self.candidates(name) {
            Ok(names) => names,
            Err(why) => return Looked::failed(&why),
        };
        if let Some(filed) = self.filed(&names) {
            return filed;
        }
        match self.servers {
            Ok((config, options)) => ask_all(config, options, names).await,
            Err(why) => Looked::failed(&why),
        }
    }

    /// The full names that `name` may stand for, in the order to try them (resolv.conf(5): `search`, `ndots`).
    fn candidates(&self, name: &str) -> Result<Vec<Name>, String> {
        let name = Name::from_str_relaxed(name).map_err(|error| format!("not a name: {error}"))?;
        let mut full = name.clone();
        full.set_fqdn(true);
        let Ok((config, options)) = &self.servers else { return Ok(vec![full]) };
        if name.is_fqdn() {
            return Ok(vec![full]);
        }
        let domains = config.domain().filter(|_| config.search().is_empty());
        let domains = config.search().iter().chain(domains);
        let mut names: Vec<_> =
            domains.filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let dotted = usize::from(name.num_labels()) > options.ndots;
        names.insert(if dotted { 0 } else { names.len() }, full);
        Ok(names)
    }

    /// What the hosts file says. A name that it knows by one family only has no other: nobody is asked about it.
    fn filed(&self, names: &[Name]) -> Option<Looked> {
        let filed = |name: &Name, kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            lookup.map_or_else(nothing, |lookup| Answers::of(lookup.answers()).living(FILE_TTL))
        };
        let looked = |name| Looked {
            v4: filed(name, RecordType::A),
            v6: filed(name, RecordType::AAAA),
            longest: LONGEST,
        };
        names.iter().map(looked).find(|looked| looked.ttl().is_some())
    }
}

fn read_hosts(text: &[u8]) -> Hosts {
    let mut hosts = Hosts::default();
    if let Err(error) = hosts.read_hosts_conf(text) {
        tracing::warn!(%error, "can't read all of {HOSTS}");
    }
    hosts
}

fn name_servers(text: &[u8]) -> Result<(ResolverConfig, ResolverOpts), String> {
    let (config, mut options) = parse_resolv_conf(text).map_err(|error| format!("{RESOLV_CONF}: {error}"))?;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    Ok((config, options))
}

/// Tries one name after the other until one has addresses.
async fn ask_all(config: ResolverConfig, options: ResolverOpts, names: Vec<Name>) -> Looked {
    let longest = longest(&config);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = match builder.with_options(options).build() {
        Ok(resolver) => resolver,
        Err(error) => return Looked::failed(&error.to_string()),
    };
    let asking = async {
        let mut told = None;
        for name in names {
            let (v4, v6) =
                tokio::join!(ask(&resolver, &name, RecordType::A), ask(&resolver, &name, RecordType::AAAA));
            let looked = Looked { v4, v6, longest };
            if looked.ttl().is_some() {
                return looked;
            }
            // That one name doesn't exist must not hide that another could not be asked for.
            told = told.filter(Looked::is_failed).or(Some(looked));
        }
        told.unwrap_or_else(|| Looked::failed("the name is empty"))
    };
    let late = |_elapsed| Looked::failed(&format!("no answer within {} s", LOOKUP.as_secs()));
    timeout(LOOKUP, asking).await.unwrap_or_else(late)
}

async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Answers {
    match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) => Answers::of(lookup.answers()),
        Err(error) if error.is_nx_domain() => Answers::Nothing("no such name (NXDOMAIN)".to_owned()),
        Err(error) if error.is_no_records_found() => nothing(),
        Err(NetError::Dns(DnsError::ResponseCode(code))) => {
            Answers::Failed(format!("the name server answered: {code}"))
        }
        Err(NetError::Timeout) => Answers::Failed("no name server answered in time".to_owned()),
        Err(error) => Answers::Failed(error.to_string()),
    }
}

fn nothing() -> Answers {
    Answers::Nothing("the name has no addresses".to_owned())
}

fn longest(config: &ResolverConfig) -> Duration {
    let docker = config.name_servers().iter().all(|server| server.ip == DOCKER);
    if docker { DOCKER_LONGEST } else { LONGEST }
}

impl Looked {
    /// Nothing is known of either family.
    pub(super) fn failed(why: &str) -> Self {
        Self { v4: Answers::Failed(why.to_owned()), v6: Answers::Failed(why.to_owned()), longest: LONGEST }
    }

    /// How long the addresses are good; `None` when there are none.
    pub(super) fn ttl(&self) -> Option<Duration> {
        [&self.v4, &self.v6].into_iter().filter_map(Answers::ttl).min()
    }

    fn is_failed(&self) -> bool {
        matches!((&self.v4, &self.v6), (Answers::Failed(_), _) | (_, Answers::Failed(_)))
    }

    /// Why there are no addresses: a failure says more than an absence.
    pub(super) fn why(&self) -> &str {
        match (&self.v4, &self.v6) {
            (Answers::Failed(why), _) | (_, Answers::Failed(why)) => why,
            (Answers::Nothing(why), _) | (_, Answers::Nothing(why)) => why,
            (Answers::Addresses { .. }, Answers::Addresses { .. }) => "",
        }
    }
}

impl Answers {
    fn of(records: &[Record]) -> Self {
        // Aliases on the way count as well: the answer is good as long as all of it is.
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
        let addresses: Vec<_> = records.iter().filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return nothing();
        }
        Self::Addresses { addresses, ttl: Duration::from_secs(u64::from(ttl)) }
    }

    fn living(self, ttl: Duration) -> Self {
        match self {
            Self::Addresses { addresses, .. } => Self::Addresses { addresses, ttl },
            Self::Nothing(_) | Self::Failed(_) => self,
        }
    }

    fn ttl(&self) -> Option<Duration> {
        match self {
            Self::Addresses { ttl, .. } => Some(*ttl),
            Self::Nothing(_) | Self::Failed(_) => None,
        }
    }
}

#[cfg(test)]
impl System {
    /// As files with these texts would say.
    pub(super) fn parse(resolv_conf: &str, hosts: &str) -> Self {
        Self { hosts: read_hosts(hosts.as_bytes()), servers: name_servers(resolv_conf.as_bytes()) }
    }

    /// The same, asking only this server, by UDP.
    pub(super) fn asking(mut self, server: std::net::SocketAddr) -> Self {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig};

        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let (config, _options) = self.servers.as_mut().expect("valid");
        config.name_servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(resolv_conf: &str, name: &str) -> Vec<String> {
        let names = System::parse(resolv_conf, "").candidates(name).expect("a name");
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_searched_for_as_resolv_conf_says() {
        const CLUSTER: &str = "nameserver 192.0.2.1\nsearch ns.svc svc\noptions ndots:5";
        const PLAIN: &str = "nameserver 192.0.2.1\ndomain lan";
        for (resolv_conf, name, expected) in [
            (CLUSTER, "web", vec!["web.ns.svc.", "web.svc.", "web."]),
            (
                CLUSTER,
                "web.example.com",
                vec!["web.example.com.ns.svc.", "web.example.com.svc.", "web.example.com."],
            ),
            (CLUSTER, "web.example.com.", vec!["web.example.com."]),
            (PLAIN, "web", vec!["web.lan.", "web."]),
            (PLAIN, "web.example.com", vec!["web.example.com.", "web.example.com.lan."]),
        ] {
            assert_eq!(candidates(resolv_conf, name), expected, "{name}");
        }
    }

    #[test]
    fn docker_s_lifetimes_are_not_believed() {
        for (servers, expected) in [
            ("nameserver 127.0.0.11", DOCKER_LONGEST),
            ("nameserver 127.0.0.53", LONGEST),
            ("nameserver 127.0.0.11\nnameserver 192.0.2.1", LONGEST),
        ] {
            let (config, _options) = name_servers(servers.as_bytes()).expect("valid");
            assert_eq!(longest(&config), expected, "{servers}");
        }
    }

    #[test]
    fn a_lookup_says_the_most_telling_reason() {
        let failed = || Answers::Failed("it broke".to_owned());
        for (v4, v6, why) in [
            (nothing(), failed(), "it broke"),
            (failed(), nothing(), "it broke"),
            (nothing(), nothing(), "the name has no addresses"),
        ] {
            assert_eq!(Looked { v4, v6, longest: LONGEST }.why(), why);
        }
    }
}
