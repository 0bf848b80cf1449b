//! stub
use std::path::Path;
use crate::clock::Clock;
use crate::config::spec::Spec;
/// e
#[derive(Debug)]
pub struct LoadError(String);
impl std::fmt::Display for LoadError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }
impl std::error::Error for LoadError {}
/// l
pub fn load(path: &Path) -> Result<Spec, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|e| LoadError(e.to_string()))?;
    crate::config::parse(&text, &|k| std::env::var(k).ok()).map_err(|d| LoadError(format!("{d:?}")))
}
/// w
pub struct Watcher;
impl Watcher { 
/// n
pub fn new(_: &Path, _: Clock) -> Self { Self } 
/// c
pub async fn changed(&mut self) { std::future::pending().await } }
