//! All cases, by what they attack.

#![allow(clippy::too_many_lines, reason = "cases are data")]

mod fields;
mod framing;
mod hops;
mod hosts;
mod http2_frames;
mod http2_requests;
mod paths;
mod pipeline;
mod responses;
mod slow;
mod targets;
mod upgrades;

use crate::case::Case;
use crate::judge::hold;

/// Every case under the name of its group.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("request line and target", targets::cases()),
        ("field syntax", fields::cases()),
        ("Host", hosts::cases()),
        ("framing", framing::cases()),
        ("between two hops", hops::cases()),
        ("paths and routes", paths::cases()),
        ("pipelining and keep-alive", pipeline::cases()),
        ("upgrades", upgrades::cases()),
        ("answers of endpoints", responses::cases()),
        ("slow peers", slow::cases()),
        ("HTTP/2 frames", http2_frames::cases()),
        ("HTTP/2 requests", http2_requests::cases()),
    ]
}

/// `GET /x` with these fields, each with its CR LF.
fn get(fields: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

/// `POST /x` with these fields and this body.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
}

/// `POST /x` in chunks.
fn chunked(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// `GET` of this target.
fn target(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn request_lines_and_targets() {
    hold(&targets::cases());
}

#[test]
fn field_syntax() {
    hold(&fields::cases());
}

#[test]
fn hosts() {
    hold(&hosts::cases());
}

#[test]
fn framing() {
    hold(&framing::cases());
}

#[test]
fn what_is_between_two_hops() {
    hold(&hops::cases());
}

#[test]
fn paths_and_routes() {
    hold(&paths::cases());
}

#[test]
fn pipelining_and_keep_alive() {
    hold(&pipeline::cases());
}

#[test]
fn upgrades() {
    hold(&upgrades::cases());
}

#[test]
fn answers_of_endpoints() {
    hold(&responses::cases());
}

#[test]
fn slow_peers() {
    hold(&slow::cases());
}

#[test]
fn http2_frames() {
    hold(&http2_frames::cases());
}

#[test]
fn http2_requests() {
    hold(&http2_requests::cases());
}
