//! Adit is the front door of containerised services: it terminates HTTP, balances load over the endpoints of each service,
//! checks and ejects them, and **releases new versions**. A release moves traffic from the old version to the new one
//! in small steps, judges the new one on every request it serves, and goes back by itself within moments when it is
//! worse. (An adit is the way into a mine: where the canary goes in first.)
//!
//! # Bird's eye
//!
//! The proxy that carries the traffic also judges it, in one process with two kinds of thread:
//!
//! - **Workers** ([`proxy`]), one per core. Each has its own runtime, its own sockets, its own connections to the endpoints and
//!   its own counters. A request lives and dies on one worker: no locks, no cross-thread wake-ups.
//! - **Control** ([`control`]), one thread, the one writer. It is told what is wanted ([`provider`]), how endpoints are
//!   ([`health`]), what the workers counted and what operators say ([`admin`]). It decides with the machines of
//!   [`domain`], saves, acts, and publishes one immutable [`domain::routing::Snapshot`] that all workers read.
//!
//! What decides is pure: it is told things and says what to do. It reads no clock, opens no socket, draws no random
//! number, so that days of traffic are simulated in a test within milliseconds.
//!
//! # Life of a request
//!
//! ```text
//! accept -> permit -> PROXY header? -> TLS? -> HTTP/1.1 or HTTP/2 -> handler
//!   1 snapshot = live.load()                     routes, weights and endpoints always agree
//!   2 route    = snapshot.resolve(host, path..)  none -> a 404 of ours; not admitted -> 403 or 429;
//!                                                a held or full service -> it waits here
//!   3 version  = service.choose(client key)      preview host, forced header > affinity > weighted
//!   4 endpoint = version.pick(random)            less loaded of two, never an ejected one while another is left
//!   5 response = forward(request, endpoint)      hop-by-hop out, forwarding headers in; retries and rescue here
//!   6 observe(response)                          counts when the BODY ends or breaks, not at the headers
//!   7 tunnel                                     instead of a body, after a 101 that was asked for
//! ```
//!
//! A worker that counts a canary's failure wakes control at once: a verdict never waits for a tick.
//!
//! # Code map
//!
//! | room | what is in it |
//! | --- | --- |
//! | `main.rs` | arguments in, exit code out |
//! | [`cli`] | one verb, one file |
//! | [`app`] | the only place that wires: build, bind, spawn, drain |
//! | [`admin`] | the HTTP API for operators: status, verbs, history, events, metrics |
//! | [`control`] | the one writer: the loop, what it saves, the snapshots it publishes |
//! | [`external`] | who else is asked and told over HTTP: hooks, and checks that measure |
//! | [`provider`] | where desired state comes from: a file and a container engine, watched |
//! | [`health`] | active probes, ejection of endpoints whose own answers are bad |
//! | [`proxy`] | the data plane: workers, listeners, forwarding, pools, observation, drain |
//! | [`telemetry`] | metrics and the access log |
//! | [`tls`] | certificates and keys, at the listeners and towards endpoints: read, chosen, replaced while running |
//! | [`config`] | text to meaning, and what is wrong with it; no I/O |
//! | [`domain`] | the pure core: statistics, routing, the rollout machine and its judge |
//! | [`clock`] | the only place that reads a clock |
//!
//! Imports point one way. A test (`tests/it/layering.rs`) reads every `crate::` path in `src/` and compares with this table, both
//! ways. If a line of code needs an import that is not here, the design is asking to be changed.
//!
//! ```text imports
//! main -> cli
//! cli -> admin app clock config control domain domain::rollout domain::routing provider tls
//! app -> admin clock config control domain domain::routing provider proxy telemetry tls
//! admin -> config control domain domain::routing telemetry
//! control -> clock config domain domain::rollout domain::routing domain::stats external health provider telemetry tls
//! external -> clock domain domain::rollout
//! provider -> clock config domain domain::routing tls
//! health -> clock config domain domain::routing tls
//! proxy -> clock domain domain::routing domain::stats telemetry tls
//! tls -> clock config domain domain::routing
//! telemetry -> domain domain::stats
//! config -> domain domain::rollout domain::routing
//! clock -> domain
//! domain ->
//! domain::stats -> domain
//! domain::routing -> domain domain::stats
//! domain::rollout -> domain domain::stats
//! ```
//!
//! # Glossary
//!
//! | word | meaning |
//! | --- | --- |
//! | listener | an address that clients connect to |
//! | route | a match (host, path prefix, header, method) that leads to a service |
//! | service | what users call: a name, its routes, its versions, its policies |
//! | version | one immutable build of a service, with its endpoints |
//! | endpoint | one address that serves a version: a container |
//! | stable, canary | the version users have now, the one being released |
//! | rollout | one attempt to move a service from stable to canary; numbered per service, recorded for ever |
//! | step, weight | a rollout's steps; a weight is the share of requests (or clients) that the canary gets |
//! | epoch | the time during which a weight stays the same; evidence is booked to the epoch its request began in |
//! | evidence | what the data plane counted per version since the step began |
//! | verdict | `Successful`, `Failed`, `Inconclusive` or `Error`, with measured value, bound and rule |
//! | promote, abort, undo, retry | the canary becomes stable; weight 0 now, in every state; back after a promotion; try an aborted version again |
//! | preview | blue-green before its switch: only who asks for the canary gets it |
//! | gate | a point at which the rollout waits for its hooks; nothing that takes from the canary waits there |
//! | deploy | have a version released by command: kept, and before the config's `release` until that names another |
//! | hold, release | the requests of a service wait (bounded); flow again |
//! | rescue | a request that the canary failed is answered by stable; it still counts against the canary |
//! | pause, resume | the rollout stops advancing; goes on. Requests never wait for it |
//! | tunnel | two connections that changed to another protocol (WebSocket): bytes both ways, one request in the counts |
//! | drain | stop sending new requests, let those in flight end, then close |
//! | lost | what is behind an endpoint ended, was frozen or taken away: what waits there and is safe to repeat goes elsewhere |
//! | eject, probation | take an endpoint out for a while because its own answers were bad; back, one request at a time |
//! | hook | an operator's URL that is asked before a rollout goes on, or told how it went |
//! | check | a measurement from outside (a Prometheus query, a URL) that has a say in the verdict |
//! | bake | the time after 100 % in which the old version is kept warm and a failure still goes back |
//! | trusted proxy | a peer whose word about its clients is believed; nobody else's is |
//! | fault | whose fault a failed exchange was: the client's, the endpoint's, ours. Only the endpoint's is ever judged |
//! | snapshot | one consistent state of all routing; immutable, replaced as a whole |
//!
//! # Invariants
//!
//! Each has a test.
//!
//! 1. After an abort is acknowledged, no new request reaches the canary.
//! 2. The weight never rises without a recorded `Successful` verdict or an operator's command.
//! 3. A reload that fails changes nothing; one that succeeds drops no request and no unrelated connection.
//! 4. No request is sent twice unless it is safe to repeat or was never sent.
//! 5. A client's fault never counts against a version.
//! 6. Memory is bounded under any input: every queue, body buffer, header block, label set and wait has a limit.
//! 7. What the versions were given adds up to what the service received; the observed share follows the weight.
//! 8. kill -9 at any moment loses no decision that was shown to anyone.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod domain;
pub mod external;
pub mod health;
pub mod provider;
pub mod proxy;
pub mod telemetry;
pub mod tls;
