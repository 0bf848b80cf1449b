//! Servers and clients of other makers.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

use crate::harness::python;
use crate::tally::Tally;
use crate::world::World;

/// Tunnels that are open at once.
const TUNNELS: u64 = 4;

/// A server. Killed when dropped.
pub(crate) struct Part {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Part {
    /// Starts it; it says its port first.
    pub(crate) fn server(script: &str) -> Self {
        let (child, mut output) = start(script, &["v1"], 0.0);
        let port: u16 = line(&mut output).parse().expect("a port");
        // Nobody else reads what it says, and it must not wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start(script: &str, args: &[&str], pause: f64) -> (Child, BufReader<ChildStdout>) {
    let mut command = python(&format!("tests/python/{script}"));
    command.args(args).env("ADIT_PAUSE", pause.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
    let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
    (child, output)
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("it writes text");
    line.trim().to_owned()
}

/// gRPC calls from eight threads over one channel; says how they ended once the load stops.
pub(crate) fn grpc(world: &World, tally: &Tally) {
    let (mut child, mut output) =
        start("grpc_client.py", &[&world.front.plain.to_string(), "load", "20"], 0.1);
    tally.wait_until_stopped();
    drop(child.stdin.take());
    let codes: Value = serde_json::from_str(&line(&mut output)).expect("codes in JSON");
    assert!(child.wait().expect("it ends").success());
    for (code, count) in codes.as_object().expect("counts by code") {
        // Ended calls have status 200, whatever their code.
        let status = if code == "OK" { 200 } else { 0 };
        tally.add("grpc", "grpc", status, count.as_u64().expect("a count"));
        if status == 0 {
            tally.complain(format!("gRPC calls ended with {code}: {count}"));
        }
    }
}

/// WebSocket: a few at once that talk and are closed, again and again.
pub(crate) fn chat(world: &World, tally: &Tally) {
    let (mut child, output) = start("ws_clients.py", &[&world.front.plain.to_string()], 0.0);
    let (mut input, answers) = (child.stdin.take().expect("it is a pipe"), lines(output));
    while !tally.is_stopped() {
        let mut all =
            vec![(format!("open {TUNNELS}"), format!("v1={TUNNELS}")), ("talk".into(), "ok".into())];
        all.extend((0..TUNNELS).map(|_| ("end 1000".to_owned(), "1000".to_owned())));
        for (words, wanted) in all {
            let said = ask(&mut input, &answers, &words);
            if said != wanted {
                tally.complain(format!("WebSocket: {words} -> {said}"));
                return drop(child.kill());
            }
        }
        tally.add("chat", "chat", 101, TUNNELS);
        tally.pause(Duration::from_millis(50));
    }
    drop(input);
    drop(child.wait());
}

fn ask(input: &mut ChildStdin, answers: &Receiver<String>, words: &str) -> String {
    writeln!(input, "{words}").expect("it reads");
    answers.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|error| error.to_string())
}

fn lines(mut output: BufReader<ChildStdout>) -> Receiver<String> {
    let (tell, told) = sync_channel(1);
    std::thread::spawn(move || {
        loop {
            let line = line(&mut output);
            if line.is_empty() || tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}
