//! What a case is: bytes in, what the client may see, what the endpoints may see.

use std::time::Duration;

/// One piece of hostile (or merely unusual) input.
pub(crate) struct Case {
    /// Begins with the section of the RFC, or the CVE, that it is about.
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) send: Vec<Step>,
    pub(crate) script: Script,
    /// What may come of it: any of these.
    pub(crate) may: Vec<Outcome>,
    pub(crate) blame: Blame,
    /// Whether the connection to the endpoint must not be used again.
    pub(crate) afresh: bool,
    /// Lines that the head of the first request at the endpoint must have.
    pub(crate) with: Vec<&'static str>,
    /// Fields that it must not have.
    pub(crate) without: Vec<&'static str>,
    /// Fields that the client must not see in an answer.
    pub(crate) hidden: Vec<&'static str>,
    /// The protocol that the endpoint may be asked to change to.
    pub(crate) upgrade: Option<&'static str>,
    /// No more requests than this may reach the endpoints.
    pub(crate) most: Option<usize>,
    /// Why it is forwarded although nginx and HAProxy refuse it, if so.
    pub(crate) although: Option<&'static str>,
    /// Whether nginx and HAProxy are asked too.
    pub(crate) alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What the client does, one after the other.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Waits until the endpoints have seen so many bytes of requests begin.
    Asked(usize),
    /// Waits until the last that the public endpoint has seen is this.
    Reached(&'static str),
    /// Reads the next answer.
    Answer,
    /// Sends no more, reads on.
    Finish,
    /// The clock goes on by so much, in small steps; the connection must be open all that time.
    Wait(Duration),
    /// The clock goes on until the connection closes, which it must within this time.
    Closes(Duration),
    /// The clock goes on until something comes, which it must within this time.
    Until(Duration),
    /// The clock goes on while nothing is read, until no request is in flight.
    Settles(Duration),
}

/// What the endpoint does with every request but the harness's own.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) when: When,
    pub(crate) answer: Answer,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// Before a request has come.
    Connected,
    /// The head of the request is there.
    Head,
    /// All of it is.
    Whole,
}

#[derive(Clone)]
pub(crate) enum Answer {
    /// 200, with the target as the body.
    Target,
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    Keep,
    Close,
    Reset,
}

/// What may come of a case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Status codes in order and what becomes of the connection: `200, 400|501, closed`. HTTP/2: by stream.
    pub(crate) client: &'static str,
    /// Whole requests at the endpoints in order: `POST /a body`; `admin: GET /admin` at the other service's. `...`: one
    /// that breaks off may be there as well.
    pub(crate) endpoint: &'static [&'static str],
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Blame {
    /// Nothing is counted against endpoint or version.
    Nobody,
    Endpoint,
    /// The version's, not the host's.
    Version,
    /// Either is right.
    Open,
}

/// A case over HTTP/1 of these bytes.
pub(crate) fn case(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    steps(name, vec![Step::Send(bytes.into())])
}

/// A case over HTTP/1 in steps.
pub(crate) fn steps(name: &'static str, send: Vec<Step>) -> Case {
    Case {
        name,
        protocol: Protocol::Http1,
        send,
        script: Script { when: When::Whole, answer: Answer::Target, then: Then::Keep },
        may: Vec::new(),
        blame: Blame::Nobody,
        afresh: false,
        with: Vec::new(),
        without: Vec::new(),
        hidden: Vec::new(),
        upgrade: None,
        most: None,
        although: None,
        alone: false,
    }
}

/// A case about what an endpoint answers to `GET /x`.
pub(crate) fn answer(name: &'static str, bytes: impl Into<Vec<u8>>, then: Then) -> Case {
    let mut case = case(name, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    case.script = Script { when: When::Whole, answer: Answer::Bytes(bytes.into()), then };
    case
}

pub(crate) fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

impl Case {
    /// One more thing that may come of it.
    pub(crate) fn may(mut self, client: &'static str, endpoint: &'static [&'static str]) -> Self {
        self.may.push(Outcome { client, endpoint });
        self
    }

    /// 400, closed, and the endpoint sees nothing.
    pub(crate) fn refused(self) -> Self {
        self.may("400, closed", &[])
    }

    /// 400, closed; the endpoint may have seen the beginning of it.
    pub(crate) fn refused_midway(self) -> Self {
        self.may("400, closed", &["..."])
    }

    /// Answered with 200; the endpoint sees this.
    pub(crate) fn passed(self, endpoint: &'static [&'static str]) -> Self {
        self.may("200, open", endpoint)
    }

    /// The client sees 502, and it is the endpoint's fault.
    pub(crate) fn bad_gateway(self) -> Self {
        self.may("502, open", &["GET /x"]).blamed()
    }

    /// The client sees that the answer breaks off, and it is the endpoint's fault.
    pub(crate) fn cut(self) -> Self {
        self.may("200 cut, closed", &["GET /x"]).blamed()
    }

    /// The endpoint may see whatever passes the strict reading.
    pub(crate) fn any_endpoint(mut self) -> Self {
        for outcome in &mut self.may {
            outcome.endpoint = &["*"];
        }
        self
    }

    pub(crate) fn blamed(mut self) -> Self {
        self.blame = Blame::Endpoint;
        self.afresh = true;
        self
    }

    /// 502, and whatever the endpoint saw of it.
    pub(crate) fn any_gateway(self) -> Self {
        self.may("502, open", &["*", "..."])
    }

    /// It is evidence against the version, not against the host.
    pub(crate) fn judged(mut self) -> Self {
        self.blame = Blame::Version;
        self
    }

    /// What RFC 9113 section 8.1.1 calls malformed: one stream is refused; h2 ends the connection.
    pub(crate) fn malformed(self) -> Self {
        self.may("1: reset PROTOCOL_ERROR, open", &["..."])
            .may("goaway PROTOCOL_ERROR, closed", &["..."])
            .may("1: 400|400 reset NO_ERROR, open", &["..."])
    }

    /// Whether it counts depends on what came of it.
    pub(crate) fn either_blame(mut self) -> Self {
        self.blame = Blame::Open;
        self
    }

    /// The connection to the endpoint is not used again.
    pub(crate) fn afresh(mut self) -> Self {
        self.afresh = true;
        self
    }

    pub(crate) fn then(mut self, then: Then) -> Self {
        self.script.then = then;
        self
    }

    pub(crate) fn with(mut self, line: &'static str) -> Self {
        self.with.push(line);
        self
    }

    pub(crate) fn without(mut self, names: &[&'static str]) -> Self {
        self.without.extend(names);
        self
    }

    pub(crate) fn hides(mut self, names: &[&'static str]) -> Self {
        self.hidden.extend(names);
        self
    }

    /// The endpoint may be asked to change to this protocol.
    pub(crate) fn may_upgrade(mut self, protocol: &'static str) -> Self {
        self.upgrade = Some(protocol);
        self
    }

    pub(crate) fn at_most(mut self, most: usize) -> Self {
        self.most = Some(most);
        self
    }

    pub(crate) fn although(mut self, why: &'static str) -> Self {
        self.although = Some(why);
        self
    }

    /// Not for nginx and HAProxy.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn asking(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send = vec![Step::Send(bytes.into())];
        self
    }

    pub(crate) fn when(mut self, when: When) -> Self {
        self.script.when = when;
        self
    }

    pub(crate) fn answering(mut self, bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        self.script.answer = Answer::Bytes(bytes.into());
        self.script.then = then;
        self
    }

    /// The protocol that may be changed to.
    pub(crate) fn upgrade(&self) -> Option<&'static str> {
        self.upgrade
    }

    /// All the bytes that are sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let sent = self.send.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes.as_slice()),
            _other => None,
        });
        sent.collect::<Vec<_>>().concat()
    }
}
