//! A real Prometheus that scrapes one Adit.

use std::io::{self, BufRead, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use tempfile::TempDir;

use super::adit::directory;
use super::wait::LIMIT;

/// A Prometheus of its own port and directory. Killed when dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the admin API behind `socket` five times a second.
    pub(crate) fn scraping(socket: &Path) -> Self {
        let dir = directory();
        let target = bridge(socket.to_owned());
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs: [{{ job_name: adit, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("a file can be written");
        let mut child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Prometheus is installed: tests/run sees to it");
        let said = listening(child.stderr.take().expect("stderr is piped"));
        let address = said.recv_timeout(LIMIT).expect("Prometheus says where it listens");
        Self { child, address, _dir: dir }
    }

    /// Where it answers queries.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in `msg="Listening on" address=127.0.0.1:36657`. Goes on reading, so that nobody waits for a reader.
fn listening(stderr: impl io::Read + Send + 'static) -> Receiver<SocketAddr> {
    let (tell, told) = sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let address =
                line.split("\"Listening on\" address=").nth(1).and_then(|rest| rest.trim().parse().ok());
            if let Some(address) = address {
                let _given_up = tell.try_send(address);
            }
        }
    });
    told
}

/// A TCP address that leads to a unix socket, because Prometheus can't scrape one. Lives as long as the test program.
fn bridge(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Without an Adit there is nothing to scrape.
            let Ok(adit) = UnixStream::connect(&socket) else { continue };
            drop(join(client, adit));
        }
    });
    address
}

fn join(client: TcpStream, adit: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_adit) = (client.try_clone()?, adit.try_clone()?);
    std::thread::spawn(move || {
        drop(io::copy(&mut from_client, &mut to_adit));
        drop(to_adit.shutdown(Shutdown::Write));
    });
    let (mut from_adit, mut to_client) = (adit, client);
    std::thread::spawn(move || {
        drop(io::copy(&mut from_adit, &mut to_client));
        drop(to_client.shutdown(Shutdown::Write));
    });
    Ok(())
}
