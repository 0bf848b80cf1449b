//! One JSON line per request. Never blocks a worker: bounded, drops are counted.

use std::io::{self, Write};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::line::{self, Second};
use crate::domain::Timestamp;
use crate::domain::stats::{ErrorReason, GrpcCode};

/// One request that ended, as the log shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it ended.
    pub at: Timestamp,
    /// Ours, or a trusted client's.
    pub request_id: &'a str,
    /// From `traceparent`.
    pub trace_id: Option<&'a str>,
    /// Who asked.
    pub client_ip: IpAddr,
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host as asked for.
    pub host: &'a str,
    /// The path as asked for.
    pub path: &'a str,
    /// The query as asked for.
    pub query: Option<&'a str>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub proto: &'a str,
    /// The status the client saw; 499 when it went away first.
    pub status: u16,
    /// The code that a gRPC call ended with; `None`: it was none.
    pub grpc_status: Option<GrpcCode>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's headers to the response's end.
    pub duration: Duration,
    /// Until the endpoint's response headers; `None` when none came.
    pub upstream: Option<Duration>,
    /// The service; `None` without a route.
    pub service: Option<&'a str>,
    /// The version; `None` when none was chosen.
    pub version: Option<&'a str>,
    /// The last endpoint tried.
    pub endpoint: Option<SocketAddr>,
    /// The rollout under way.
    pub rollout: Option<u64>,
    /// `weight` | `affinity` | `override` | `preview`.
    pub assigned_by: Option<&'a str>,
    /// Attempts after the first; those on another version apart.
    pub retries: u32,
    /// Whether the canary failed it and stable answered.
    pub rescued: bool,
    /// The version whose answer the client got, when that is not the one that the request was assigned to.
    pub answered_by: Option<&'a str>,
    /// What went wrong.
    pub error: Option<ErrorReason>,
    /// The User-Agent field.
    pub user_agent: Option<&'a str>,
}

/// Where log lines go. Cheap to clone; all clones are one log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    outlet: Option<Outlet>,
}

/// One worker's pen: collects lines and ships them together. Ships what is left when dropped.
#[derive(Debug)]
pub struct LogWriter {
    outlet: Option<Outlet>,
    lines: Vec<u8>,
    count: u64,
    second: Second,
}

/// The way to the writing thread.
#[derive(Clone, Debug)]
struct Outlet {
    shipments: Sender<Shipment>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Shipment {
    /// Whole lines, and how many.
    Lines(Vec<u8>, u64),
    /// Answered once all before it is written.
    Mark(Sender<()>),
}

/// A buffer of this many bytes is shipped.
const FULL: usize = 32 * 1024;

/// Shipments that may wait for a slow output: about 4 MiB of lines.
const WAITING: usize = 128;

impl AccessLog {
    /// No log: nothing is kept, nothing is written.
    pub fn off() -> Self {
        Self { outlet: None }
    }

    /// Lines to `out`, written by a thread of its own that ends when the log and all its writers are gone.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (shipments, inbox) = bounded(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        thread::Builder::new().name("access-log".into()).spawn(move || write_all(out, &inbox, &lost))?;
        Ok(Self { outlet: Some(Outlet { shipments, dropped }) })
    }

    /// A pen for one worker.
    pub fn writer(&self) -> LogWriter {
        LogWriter { outlet: self.outlet.clone(), lines: Vec::new(), count: 0, second: Second::default() }
    }

    /// Lines lost since the start: the output was too slow or refused them.
    pub fn dropped(&self) -> u64 {
        self.outlet.as_ref().map_or(0, |outlet| outlet.dropped.load(Ordering::Relaxed))
    }

    /// Waits until everything shipped so far is written, for the end of the program. Gives up (`false`) when that takes
    /// longer than about `patience`: whoever reads the output may have stopped to.
    #[must_use = "`false` says that lines may be lost"]
    pub fn finish(&self, patience: Duration) -> bool {
        let Some(outlet) = &self.outlet else { return true };
        let (done, written) = bounded(1);
        outlet.shipments.send_timeout(Shipment::Mark(done), patience).is_ok()
            && written.recv_timeout(patience).is_ok()
    }
}

impl LogWriter {
    /// Whether nobody reads it: then an entry need not be made.
    pub fn is_off(&self) -> bool {
        self.outlet.is_none()
    }

    /// Adds a line; ships what has been collected when that is a buffer full. Never waits.
    pub fn record(&mut self, entry: &Entry<'_>) {
        if self.outlet.is_none() {
            return;
        }
        if self.lines.capacity() == 0 {
            self.lines.reserve(FULL + FULL / 8);
        }
        line::write(&mut self.lines, &mut self.second, entry);
        self.count += 1;
        if self.lines.len() >= FULL {
            self.flush();
        }
    }

    /// Ships what has been collected, however little; to be called now and then while there is little traffic. Never
    /// waits: what finds no room is dropped and counted.
    pub fn flush(&mut self) {
        let Some(outlet) = &self.outlet else { return };
        if self.count == 0 {
            return;
        }
        let count = mem::take(&mut self.count);
        let shipment = Shipment::Lines(mem::take(&mut self.lines), count);
        if let Err(refused) = outlet.shipments.try_send(shipment) {
            outlet.dropped.fetch_add(count, Ordering::Relaxed);
            if let Shipment::Lines(mut lines, _) = refused.into_inner() {
                lines.clear();
                self.lines = lines;
            }
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes what is shipped until nobody can ship any more, and counts the lines that the output refused.
fn write_all(mut out: impl Write, inbox: &Receiver<Shipment>, dropped: &AtomicU64) {
    let mut well = true;
    for shipment in inbox {
        match shipment {
            Shipment::Lines(lines, count) => {
                // After a failure the output may end in half a line.
                let fresh = if well { Ok(()) } else { out.write_all(b"\n") };
                let written = fresh.and_then(|()| out.write_all(&lines)).and_then(|()| out.flush());
                if let Err(error) = &written {
                    dropped.fetch_add(count, Ordering::Relaxed);
                    // Said once per change: an output that is gone refuses everything from now on.
                    if well {
                        tracing::error!(%error, "the access log can't be written");
                    }
                }
                well = written.is_ok();
            }
            Shipment::Mark(done) => {
                // Whoever asked has lost patience when nobody takes the answer.
                let _unheard = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde_json::Value;

    use super::*;

    /// An output whose bytes the test can read.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// An output that says when a write begins and lets it end when it is told to.
    struct Gate {
        begun: Sender<()>,
        go_on: Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            self.go_on.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (AccessLog, Receiver<()>, Sender<io::Result<()>>) {
        let ((begun, begins), (goes_on, go_on)) = (bounded(WAITING * 2), bounded(WAITING * 2));
        (AccessLog::to(Gate { begun, go_on }).unwrap(), begins, goes_on)
    }

    const LONG: Duration = Duration::from_secs(60);

    const FULL_ENTRY: Entry<'static> = Entry {
        at: Timestamp::from_micros(1_700_000_000_123_456),
        request_id: "r1",
        trace_id: Some("4bf92f"),
        client_ip: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        method: "GET",
        scheme: "http",
        host: "shop.example",
        path: "/a",
        query: Some("b=c"),
        proto: "HTTP/1.1",
        status: 502,
        grpc_status: Some(GrpcCode::Ok),
        bytes_in: 0,
        bytes_out: 17,
        duration: Duration::from_micros(1_234),
        upstream: Some(Duration::from_millis(1)),
        service: Some("web"),
        version: Some("v2"),
        endpoint: Some(SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 9002)),
        rollout: Some(3),
        assigned_by: Some("weight"),
        retries: 1,
        rescued: true,
        answered_by: Some("v1"),
        error: Some(ErrorReason::ConnectionRefused),
        user_agent: Some("curl/8"),
    };

    const BARE_ENTRY: Entry<'static> = Entry {
        trace_id: None,
        query: None,
        upstream: None,
        service: None,
        version: None,
        endpoint: None,
        rollout: None,
        assigned_by: None,
        answered_by: None,
        error: None,
        user_agent: None,
        ..FULL_ENTRY
    };

    fn written(entries: &[Entry<'_>]) -> String {
        let paper = Paper::default();
        let log = AccessLog::to(paper.clone()).unwrap();
        let mut writer = log.writer();
        entries.iter().for_each(|entry| writer.record(entry));
        writer.flush();
        assert!(log.finish(LONG));
        paper.text()
    }

    #[test]
    fn a_line_has_every_field_in_the_documented_order() {
        let expected = concat!(
            r#"{"ts":"2023-11-14T22:13:20.123Z","level":"info","msg":"request","request_id":"r1","#,
            r#""trace_id":"4bf92f","client_ip":"192.0.2.7","method":"GET","scheme":"http","#,
            r#""host":"shop.example","path":"/a","query":"b=c","proto":"HTTP/1.1","status":502,"#,
            r#""grpc_status":"OK","bytes_in":0,"bytes_out":17,"duration_ms":1.234,"upstream_ms":1.0,"service":"web","#,
            r#""version":"v2","endpoint":"[::1]:9002","rollout":3,"assigned_by":"weight","retries":1,"#,
            r#""rescued":true,"answered_by":"v1","error":"connection_refused","user_agent":"curl/8"}"#,
            "\n"
        );
        assert_eq!(written(&[FULL_ENTRY]), expected);
    }

    #[test]
    fn what_is_not_known_is_null_and_never_left_out() {
        let text = written(&[FULL_ENTRY, BARE_ENTRY]);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&lines[0]), keys(&lines[1]));
        for key in
            ["trace_id", "query", "upstream_ms", "service", "version", "endpoint", "answered_by", "error"]
        {
            assert_eq!(lines[1][key], Value::Null, "{key}");
        }
    }

    #[test]
    fn hostile_text_stays_within_its_line_and_field() {
        let controls: String = (0..=0x9F_u8).map(char::from).collect();
        for hostile in [
            controls.as_str(),
            "\"}\n{\"status\":200",
            "\\",
            "\r\n\r\n",
            "\u{2028}\u{2029}\u{FEFF}\u{10FFFF}",
            "\u{1b}[2J",
        ] {
            let text = written(&[Entry {
                path: hostile,
                host: hostile,
                query: Some(hostile),
                user_agent: Some(hostile),
                ..FULL_ENTRY
            }]);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(
                !text.trim_end_matches('\n').contains(|c: char| c.is_ascii_control() && c != '\x7F'),
                "{text}"
            );
            let line: Value = serde_json::from_str(&text).unwrap();
            for key in ["path", "host", "query", "user_agent"] {
                assert_eq!(line[key], Value::from(hostile), "{key}");
            }
        }
    }

    #[test]
    fn durations_of_days_are_exact() {
        for (micros, millis) in [(0, 0.0), (1, 0.001), (86_400_000_001_u64, 86_400_000.001)] {
            let text = written(&[Entry { duration: Duration::from_micros(micros), ..FULL_ENTRY }]);
            let line: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["duration_ms"], Value::from(millis), "{micros} µs");
        }
    }

    #[test]
    fn a_full_buffer_is_shipped_without_being_told_to() {
        let paper = Paper::default();
        let log = AccessLog::to(paper.clone()).unwrap();
        let mut writer = log.writer();
        for _ in 0..FULL / 300 {
            writer.record(&FULL_ENTRY);
        }
        assert!(log.finish(LONG));
        assert!(paper.text().len() >= FULL, "{} bytes", paper.text().len());
    }

    #[test]
    fn a_writer_that_ends_ships_what_it_has() {
        let paper = Paper::default();
        let log = AccessLog::to(paper.clone()).unwrap();
        log.writer().record(&FULL_ENTRY);
        assert!(log.finish(LONG));
        assert_eq!(paper.text().lines().count(), 1);
    }

    #[test]
    fn an_output_that_stands_still_blocks_nobody_and_every_lost_line_is_counted() {
        let (log, begins, goes_on) = gated();
        let mut writer = log.writer();
        writer.record(&FULL_ENTRY);
        writer.flush();
        begins.recv().unwrap();
        for _ in 0..WAITING {
            writer.record(&FULL_ENTRY);
            writer.flush();
        }
        assert_eq!(log.dropped(), 0, "there was room for these");
        for lost in 1..=3 {
            writer.record(&FULL_ENTRY);
            writer.record(&FULL_ENTRY);
            writer.flush();
            assert_eq!(log.dropped(), lost * 2);
        }
        assert!(!log.finish(Duration::from_millis(1)), "nothing can be written");
        drop(goes_on);
        assert!(log.finish(LONG), "now it can");
        assert_eq!(begins.try_iter().count(), WAITING, "what had room is written");
    }

    #[test]
    fn lines_that_the_output_refuses_are_counted_and_later_ones_are_written() {
        let (log, _begins, goes_on) = gated();
        let mut writer = log.writer();
        goes_on.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
        drop(goes_on);
        for _ in 0..2 {
            writer.record(&FULL_ENTRY);
            writer.record(&FULL_ENTRY);
            writer.flush();
        }
        assert!(log.finish(LONG));
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn a_log_that_is_off_keeps_nothing() {
        let log = AccessLog::off();
        let mut writer = log.writer();
        writer.record(&FULL_ENTRY);
        assert!(writer.lines.is_empty());
        writer.flush();
        assert!(log.finish(Duration::ZERO));
        assert_eq!(log.dropped(), 0);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(path in any::<String>(), agent in any::<Option<String>>()) {
            let mut writer = AccessLog::to(io::sink()).unwrap().writer();
            writer.record(&Entry { path: &path, user_agent: agent.as_deref(), ..FULL_ENTRY });
            let line: Value = serde_json::from_slice(&writer.lines).unwrap();
            prop_assert_eq!(line["path"].as_str(), Some(&*path));
            prop_assert_eq!(line["user_agent"].as_str(), agent.as_deref());
        }
    }
}
