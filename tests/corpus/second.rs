//! A second opinion: nginx and HAProxy, as they come with Debian and with next to no configuration, get the same bytes in
//! front of the same endpoints.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::case::{Case, case};
use crate::cases;
use crate::client::At;
use crate::front::{Front, Seen};
use crate::judge::{Whole, witness};
use crate::recorder::Recorder;
use crate::world::eventually;

/// A proxy of another maker that runs. Killed when dropped.
struct Other {
    front: Front,
    child: Child,
    _dir: TempDir,
}

/// What a proxy made of a case.
#[derive(Clone, Debug, PartialEq)]
enum Opinion {
    /// An error for an answer, and the endpoint saw no whole request.
    Refused(String),
    /// No answer, and the endpoint saw no whole request.
    Dropped,
    /// An answer of its own that is no error.
    Answered(String),
    /// What the client saw, and the whole requests at the endpoints.
    Forwarded(String, Vec<String>),
}

impl Opinion {
    fn of(seen: &Seen) -> Self {
        let whole = Whole::of(seen);
        let is_end = |item: &&String| !matches!(item.as_str(), "open" | "closed" | "silent");
        let client = seen.client.iter().filter(is_end).cloned().collect::<Vec<_>>().join(", ");
        if !whole.requests.is_empty() || !whole.broken.is_empty() {
            let broken = whole.broken.iter().map(|why| format!("not HTTP: {why}"));
            return Self::Forwarded(client, whole.requests.into_iter().chain(broken).collect());
        }
        match client.as_str() {
            "" => Self::Dropped,
            error if error.starts_with(['4', '5']) => Self::Refused(client),
            _answer => Self::Answered(client),
        }
    }

    fn refuses(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Dropped)
    }

    /// Whether two mean the same: which error it is, nobody needs to agree on.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Forwarded(_, ours), Self::Forwarded(_, theirs)) => {
                ours == theirs && self.serves() == other.serves()
            }
            _ => self.refuses() == other.refuses() && self.serves() == other.serves(),
        }
    }

    /// Whether the client got a whole answer that the endpoint gave.
    fn serves(&self) -> bool {
        let cut = |client: &str| client.contains("cut") || client.starts_with("502") || client.is_empty();
        matches!(self, Self::Forwarded(client, _) if !cut(client))
    }

    fn cell(&self, ours: Option<&Self>) -> String {
        match self {
            Self::Refused(client) => format!("refuses: {client}"),
            Self::Dropped => "drops".into(),
            Self::Answered(client) => format!("answers: {client}"),
            Self::Forwarded(client, requests) => {
                let same = matches!(ours, Some(Self::Forwarded(_, ours)) if ours == requests);
                let requests = if same { "the same".into() } else { plain(&requests.join(" + ")) };
                let client = if client.is_empty() { "nothing" } else { client };
                format!("forwards {requests}; client: {client}")
            }
        }
    }
}

/// Text that can stand in a table.
fn plain(text: &str) -> String {
    let mut plain: String = text.escape_debug().collect::<String>().replace('|', "\\|");
    if plain.chars().count() > 70 {
        plain = plain.chars().take(67).collect::<String>() + "…";
    }
    format!("`{plain}`")
}

impl Other {
    fn nginx() -> Self {
        Self::start("nginx", "n.conf", &["-c"], |dir, public, admin| {
            let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = places.map(|it| format!("{it}_temp_path {}/{it};", dir.display())).join(" ");
            let to = |address| {
                format!(
                    "proxy_pass http://{address}; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                     proxy_set_header Host $http_host;"
                )
            };
            let dir = dir.display();
            let (public, admin) = (to(public), to(admin));
            format!(
                "user root; daemon off; worker_processes 1; pid {dir}/pid; error_log /dev/null;\n\
                 events {{}}\n\
                 http {{\n\
                 access_log off; {temporary}\n\
                 server {{\n\
                 listen unix:{dir}/socket;\n\
                 location = /admin {{ {admin} }}\n\
                 location /admin/ {{ {admin} }}\n\
                 location / {{ {public} }}\n\
                 }}\n}}\n"
            )
        })
    }

    fn haproxy() -> Self {
        Self::start("haproxy", "h.cfg", &["-db", "-q", "-f"], |dir, public, admin| {
            let dir = dir.display();
            format!(
                "defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n retries 0\n \
                 option http-server-close\n\
                 frontend front\n bind unix@{dir}/socket\n use_backend admin if {{ path /admin }}\n \
                 use_backend admin if {{ path_beg /admin/ }}\n default_backend public\n\
                 backend public\n server one {public}\n\
                 backend admin\n server one {admin}\n"
            )
        })
    }

    fn start(
        program: &str,
        file: &str,
        args: &[&str],
        config: impl Fn(&Path, std::net::SocketAddr, std::net::SocketAddr) -> String,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let script = case("RFC 0: any", "").script;
        let (public, admin) = (Recorder::start(script.clone()), Recorder::start(script));
        let path = dir.path().join(file);
        std::fs::write(&path, config(dir.path(), public.address, admin.address)).unwrap();
        let mut command = Command::new(binary(program));
        command.args(args).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}: tests/run installs it"));
        let socket = dir.path().join("socket");
        eventually(program, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        // What takes this long to come does not come.
        let patience = Duration::from_millis(400);
        let front = Front { at: At::Unix(socket), public, admin, patience, ours: None };
        Self { front, child, _dir: dir }
    }

    fn opinions(&self, cases: &[&Case]) -> Vec<Opinion> {
        cases.iter().map(|case| self.opinion(case)).collect()
    }

    fn opinion(&self, case: &Case) -> Opinion {
        let front = &self.front;
        front.public.begin(case.script.clone());
        front.admin.begin(case.script.clone());
        let mut seen = front.converse(case);
        // Neither keeps connections to endpoints; one that stays open has nothing more to say.
        for _ in 0..500 {
            if front.public.is_quiet() && front.admin.is_quiet() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        (seen.public, seen.admin) = (front.public.connections(), front.admin.connections());
        Opinion::of(&seen)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // nginx's worker ends with its master only when that is told to end.
        let _gone = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ended = self.child.wait();
    }
}

fn binary(program: &str) -> String {
    let place = format!("/usr/sbin/{program}");
    if Path::new(&place).exists() { place } else { program.to_owned() }
}

fn version(program: &str) -> String {
    let output = Command::new(binary(program)).arg("-v").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("nginx version: ")
        .to_owned()
}

fn is_missing(part: &str) -> bool {
    std::env::var("ADIT_TESTS_WITHOUT").is_ok_and(|without| without.split(' ').any(|it| it == part))
}

/// Whether this run writes the table.
fn is_written() -> bool {
    std::env::var_os("ADIT_CORPUS_TABLE").is_some()
}

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/AGREEMENT.md");

#[test]
fn second_opinion() {
    if is_missing("nginx") || is_missing("haproxy") {
        return;
    }
    let groups = cases::all();
    let asked: Vec<&Case> = groups.iter().flat_map(|(_, cases)| cases).filter(|case| !case.alone).collect();
    let (ours, nginx, haproxy) = std::thread::scope(|scope| {
        let nginx = scope.spawn(|| Other::nginx().opinions(&asked));
        let haproxy = scope.spawn(|| Other::haproxy().opinions(&asked));
        let ours: Vec<Opinion> = asked.iter().map(|case| Opinion::of(&witness(case).0)).collect();
        (ours, nginx.join().unwrap(), haproxy.join().unwrap())
    });
    let opinions =
        || ours.iter().zip(&nginx).zip(&haproxy).map(|((ours, nginx), haproxy)| (ours, nginx, haproxy));
    let alone: Vec<String> = asked
        .iter()
        .zip(opinions())
        .filter(|(case, (ours, nginx, haproxy))| {
            let laxer = nginx.refuses() && haproxy.refuses() && !ours.refuses();
            let hides = !nginx.serves() && !haproxy.serves() && ours.serves();
            (laxer || hides) && case.although.is_none()
        })
        .map(|(case, (ours, nginx, haproxy))| {
            let [ours, nginx, haproxy] = [ours.cell(None), nginx.cell(None), haproxy.cell(None)];
            format!("{}\n   Adit:    {ours}\n   nginx:   {nginx}\n   HAProxy: {haproxy}", case.name)
        })
        .collect();
    let agreements = opinions()
        .map(|(ours, nginx, haproxy)| u8::from(ours.agrees(nginx)) + u8::from(ours.agrees(haproxy)));
    let agreements: Vec<u8> = agreements.collect();
    let count = |wanted| agreements.iter().filter(|it| **it == wanted).count();
    let all = agreements.len();
    let summary =
        format!("{all} cases: agree with both {}, with one {}, with none {}", count(2), count(1), count(0));
    println!("{summary}");
    if is_written() {
        std::fs::write(TABLE, table(&groups, &summary, opinions())).unwrap();
    }
    assert!(alone.is_empty(), "served by us alone, and the case does not say why:\n{}", alone.join("\n"));
}

#[test]
fn the_table_of_agreement_knows_every_case() {
    if is_written() {
        return;
    }
    let table = std::fs::read_to_string(TABLE).unwrap_or_default();
    let groups = cases::all();
    let cases = groups.iter().flat_map(|(_, cases)| cases).filter(|case| !case.alone);
    let missing: Vec<&str> =
        cases.map(|case| case.name).filter(|name| !table.contains(&format!("| {name} |"))).collect();
    assert!(
        missing.is_empty(),
        "ADIT_CORPUS_TABLE=1 cargo test --test corpus -- second_opinion: {missing:#?}"
    );
}

fn table<'a>(
    groups: &[(&str, Vec<Case>)],
    summary: &str,
    mut opinions: impl Iterator<Item = (&'a Opinion, &'a Opinion, &'a Opinion)>,
) -> String {
    let mut text = format!(
        "# What nginx and HAProxy make of the corpus\n\n\
         Written by `ADIT_CORPUS_TABLE=1 cargo test --test corpus -- second_opinion`, with {} and {}, each with a\n\
         configuration that says no more than which path goes where. To agree is to serve the same or to refuse alike; with\n\
         which status does not matter. Cases over HTTP/2, with slow peers, or that depend on the endpoint's moment are not asked.\n\n\
         {summary}.\n",
        version("nginx"),
        version("haproxy"),
    );
    for (group, cases) in groups {
        let asked: Vec<&Case> = cases.iter().filter(|case| !case.alone).collect();
        if asked.is_empty() {
            continue;
        }
        let _ =
            write!(text, "\n## {group}\n\n| case | Adit | nginx | HAProxy |\n| --- | --- | --- | --- |\n");
        for case in asked {
            let Some((ours, nginx, haproxy)) = opinions.next() else { return text };
            let cells = [ours.cell(None), nginx.cell(Some(ours)), haproxy.cell(Some(ours))];
            let _ = writeln!(text, "| {} | {} |", case.name, cells.join(" | "));
        }
    }
    let kept: Vec<&Case> =
        groups.iter().flat_map(|(_, cases)| cases).filter(|it| it.although.is_some()).collect();
    if !kept.is_empty() {
        text.push_str("\n## Served by Adit alone, and why\n\n");
        for case in kept {
            let _ = writeln!(text, "- {}: {}", case.name, case.although.unwrap_or_default());
        }
    }
    text
}
