//! Adit and containers, on a real Docker Engine that the tests start themselves (`tests/docker/engine`). Their images hold one
//! static program (`app/main.rs`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod churn;
mod compose;
mod container;
mod engine;
#[allow(dead_code, unused_imports, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/harness/mod.rs"]
mod harness;
mod image;
mod leaving;
mod load;
mod naming;
mod outage;
mod own_image;
mod promptness;
mod readme;
mod releasing;
mod world;
