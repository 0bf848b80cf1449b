//! Adit: the front door of containerised services that also releases their new versions.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod domain;
pub mod health;
pub mod provider;
pub mod proxy;
pub mod telemetry;
