//! Placeholder.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::admin;
use crate::clock::Clock;
use crate::config::spec::{AdminAddress, Spec};
use crate::control::report::Status;
use crate::control::{Handle, Message, ReloadError};

/// Placeholder.
pub struct Options {
    /// Placeholder.
    pub spec: Spec,
    /// Placeholder.
    pub file: Option<PathBuf>,
    /// Placeholder.
    pub clock: Clock,
}

/// Placeholder.
#[derive(Debug)]
pub struct StartError(admin::BindError);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Placeholder.
pub struct Running {
    admin: AdminAddress,
    handle: Handle,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Placeholder.
pub struct StopSwitch(watch::Sender<bool>);

/// Placeholder.
///
/// # Errors
/// Placeholder.
pub fn start(options: Options) -> Result<Running, StartError> {
    let bound = admin::bind(&options.spec.admin).map_err(StartError)?;
    let address = bound.address().clone();
    let (handle, mut inbox, mut reloads) = Handle::new();
    let (stop, mut stopped) = watch::channel(false);
    let served = handle.clone();
    let started = options.clock.now().to_string();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async move {
            let control = async {
                loop {
                    tokio::select! {
                        message = inbox.recv() => if let Some(Message::Status(reply)) = message {
                            let status = Status { adit: "0".into(), started: started.clone(), generation: 1, listeners: vec![], ready: true, problems: vec![], services: vec![] };
                            drop(reply.send(status));
                        },
                        Some(request) = reloads.recv() => {
                            drop(request.send(Err(ReloadError::Invalid("adit.toml:1:1: placeholder".into()))));
                        }
                    }
                }
            };
            let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
            tokio::select! {
                () = control => {},
                () = admin::serve(bound, served, Arc::default(), stop) => {},
            }
        });
    });
    Ok(Running { admin: address, handle, stop, thread })
}

impl Running {
    /// Placeholder.
    pub fn listeners(&self) -> &[SocketAddr] {
        &[]
    }
    /// Placeholder.
    pub fn admin(&self) -> &AdminAddress {
        &self.admin
    }
    /// Placeholder.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
    /// Placeholder: only a second signal ends it, when `ADIT_TEST_HANG` is set.
    pub fn drain(self) {
        if std::env::var_os("ADIT_TEST_HANG").is_none() {
            self.stop.send_replace(true);
        }
        drop(self.thread.join());
    }
    /// Placeholder.
    pub fn stop_switch(&self) -> StopSwitch {
        StopSwitch(self.stop.clone())
    }
}

impl StopSwitch {
    /// Placeholder.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}
