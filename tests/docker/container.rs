//! One container of a test.

use std::net::{IpAddr, SocketAddr};

use crate::engine::Engine;

/// A container. Removed when dropped.
pub(crate) struct Container<'e> {
    engine: &'e Engine,
    pub(crate) name: String,
}

impl Engine {
    /// Starts a container with these labels (`name=value`) and this environment.
    pub(crate) fn run(&self, name: &str, image: &str, labels: &[&str], env: &[&str]) -> Container<'_> {
        self.run_with(name, image, labels, env, &[])
    }

    /// The same, with more words for `docker run`.
    pub(crate) fn run_with(
        &self,
        name: &str,
        image: &str,
        labels: &[&str],
        env: &[&str],
        more: &[&str],
    ) -> Container<'_> {
        let mut words = vec!["run", "-d", "--name", name];
        words.extend(labels.iter().flat_map(|label| ["--label", label]));
        words.extend(env.iter().flat_map(|env| ["-e", env]));
        words.extend(more);
        words.push(image);
        self.docker(&words);
        Container { engine: self, name: name.to_owned() }
    }
}

impl Container<'_> {
    fn verb(&self, words: &[&str]) -> String {
        self.engine.docker(&[words, &[&self.name]].concat())
    }

    /// SIGTERM, and kill -9 after ten seconds.
    pub(crate) fn stop(&self) {
        self.verb(&["stop"]);
    }

    /// With so many seconds between SIGTERM and kill -9.
    pub(crate) fn stop_within(&self, seconds: u32) {
        self.verb(&["stop", "-t", &seconds.to_string()]);
    }

    pub(crate) fn start(&self) {
        self.verb(&["start"]);
    }

    pub(crate) fn kill(&self) {
        self.verb(&["kill"]);
    }

    pub(crate) fn pause(&self) {
        self.verb(&["pause"]);
    }

    pub(crate) fn unpause(&self) {
        self.verb(&["unpause"]);
    }

    /// With so many seconds between SIGTERM and kill -9.
    pub(crate) fn restart(&self, seconds: u32) {
        self.verb(&["restart", "-t", &seconds.to_string()]);
    }

    /// Removes it, running or not.
    pub(crate) fn remove(self) {}

    /// What the engine says of it, by a template.
    pub(crate) fn inspect(&self, template: &str) -> String {
        self.verb(&["inspect", "-f", template])
    }

    /// Its address in its first network, with its port.
    pub(crate) fn address(&self) -> SocketAddr {
        let all = self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
        let first: IpAddr = all.split_whitespace().next().and_then(|ip| ip.parse().ok()).expect("an address");
        SocketAddr::new(first, 8080)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let words = ["rm", "-f", "-v", &self.name];
        // It may be gone already; the engine's keeper removes what is left.
        drop(self.engine.command("docker").args(words).output());
    }
}
