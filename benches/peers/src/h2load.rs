//! HTTP/2 by h2load, a client of another maker.

use std::process::Command;
use std::time::Duration;

use crate::peers::Peer;
use crate::scenarios::Wire;

pub struct Said {
    pub answers: u64,
    /// Requests that got anything but a 200, or nothing.
    pub failed: u64,
    pub bytes: u64,
}

/// 16 connections with 10 requests each under way, for so long.
pub fn run(peer: &Peer, wire: Wire, time: Duration) -> Result<Said, String> {
    let (scheme, port) = match wire {
        Wire::Clear => ("http", peer.site.ports.h2),
        Wire::Tls => ("https", peer.site.ports.tls),
    };
    let seconds = time.as_secs().max(1).to_string();
    let output = Command::new("h2load")
        .args(["-c", "16", "-m", "10", "-t", "1", "-D", &seconds])
        .arg(format!("{scheme}://127.0.0.1:{port}/small"))
        .output()
        .map_err(|error| format!("h2load: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    read(&said).ok_or_else(|| format!("h2load said: {said}"))
}

fn read(said: &str) -> Option<Said> {
    let requests = said.lines().find(|line| line.starts_with("requests:"))?;
    let statuses = said.lines().find(|line| line.starts_with("status codes:"))?;
    let traffic = said.lines().find(|line| line.starts_with("traffic:"))?;
    let answers = before(statuses, " 2xx")?;
    let failed = before(requests, " failed")? + before(statuses, " 4xx")? + before(statuses, " 5xx")?;
    let (_, data) = traffic.rsplit_once(", ")?;
    let bytes = data.split_once('(')?.1.split_once(')')?.0.parse().ok()?;
    Some(Said { answers, failed, bytes })
}

/// The number that stands before this word.
fn before(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.0.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_h2load_says_is_understood() {
        let said = "finished in 1.00s, 9.00 req/s, 1.53MB/s
requests: 10 total, 19 started, 9 done, 8 succeeded, 1 failed, 1 errored, 0 timeout
status codes: 8 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.53MB (1607700) total, 200B (200) headers (space savings 95.00%), 878.9KB (900) data
";
        let said = super::read(said).expect("understood");
        assert_eq!((said.answers, said.failed, said.bytes), (8, 2, 900));
    }
}
