//! One look at the fields of a request's head. A lookup by name costs as much as a look at several fields, and most of what
//! we know is not there in most requests: what this says is not there, nobody looks up.

use http::{HeaderMap, HeaderValue};

use super::grpc::is_call;
use super::headers::is_unfit;
use super::respond::Form;

/// What HTTP/2 counts for a field beside its name and value (RFC 9113 section 6.5.2).
pub(super) const PER_FIELD: usize = 32;

/// What the fields of a request say, as its client sent them.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Of names and values, and [`PER_FIELD`] for each.
    pub(super) bytes: usize,
    /// How many there are of those that frame and route.
    pub(super) hosts: usize,
    pub(super) lengths: usize,
    pub(super) codings: usize,
    pub(super) cookies: usize,
    types: usize,
    pub(super) has_te: bool,
    /// `Upgrade` is there.
    pub(crate) names_protocol: bool,
    /// There are some that no endpoint gets as they are.
    pub(super) has_unfit: bool,
    /// The request is a gRPC call.
    pub(crate) is_call: bool,
    accepts_json: bool,
    accepts_html: bool,
    /// The first of them; routing and endpoints go by [`Self::asked_host`].
    pub(crate) host: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) traceparent: Option<HeaderValue>,
    /// The host in the target, once that was levelled.
    pub(super) target_host: Option<HeaderValue>,
}

impl Fields {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            fields.bytes += name.len() + value.len() + PER_FIELD;
            fields.note(name, value);
        }
        fields
    }

    /// The host that a levelled request asks for.
    pub(crate) fn asked_host(&self) -> Option<&HeaderValue> {
        self.target_host.as_ref().or(self.host.as_ref())
    }

    /// In what form its client wants to read about an error: gRPC for those who speak it, JSON for those who ask for it and
    /// not for HTML.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self { is_call: true, .. } => Form::Grpc,
            Self { accepts_json: true, accepts_html: false, .. } => Form::Json,
            Self { .. } => Form::Text,
        }
    }

    fn note(&mut self, name: &str, value: &HeaderValue) {
        match name {
            "accept" => self.note_accepted(value),
            "content-length" => self.lengths += 1,
            "content-type" => {
                self.is_call |= self.types == 0 && is_call(value.as_bytes());
                self.types += 1;
            }
            "cookie" => self.cookies += 1,
            "host" => {
                self.hosts += 1;
                keep_first(&mut self.host, value);
            }
            "te" => (self.has_te, self.has_unfit) = (true, true),
            "traceparent" => keep_first(&mut self.traceparent, value),
            "transfer-encoding" => {
                self.codings += 1;
                self.has_unfit = true;
            }
            "upgrade" => (self.names_protocol, self.has_unfit) = (true, true),
            "user-agent" => keep_first(&mut self.user_agent, value),
            _ => self.has_unfit |= is_unfit(name),
        }
    }

    fn note_accepted(&mut self, value: &HeaderValue) {
        let Ok(value) = value.to_str() else { return };
        self.accepts_html |= value.contains("text/html");
        self.accepts_json |= !self.accepts_html && (value.contains("/json") || value.contains("+json"));
    }
}

fn keep_first(kept: &mut Option<HeaderValue>, value: &HeaderValue) {
    kept.get_or_insert_with(|| value.clone());
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn fields(fields: &[(&'static str, &str)]) -> Fields {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        Fields::of(&headers)
    }

    #[test]
    fn what_no_endpoint_gets_as_it_is_is_seen() {
        for (name, unfit) in [
            ("accept", false),
            ("cookie", false),
            ("x-custom", false),
            ("x_custom", false),
            ("connection", true),
            ("te", true),
            ("transfer-encoding", true),
            ("upgrade", true),
            ("x-request-id", true),
            ("x-forwarded-for", true),
            ("x_forwarded_for", true),
            ("content_length", true),
        ] {
            assert_eq!(fields(&[(name, "1")]).has_unfit, unfit, "{name}");
        }
    }

    #[test]
    fn of_what_comes_twice_the_first_is_kept_and_both_are_counted() {
        let fields = fields(&[("host", "a"), ("host", "b"), ("user-agent", "c"), ("user-agent", "d")]);
        assert_eq!(fields.hosts, 2);
        assert_eq!(
            (fields.host.unwrap(), fields.user_agent.unwrap()),
            ("a".parse().unwrap(), "c".parse().unwrap())
        );
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        for (accept, form) in [
            (&["application/json"][..], Form::Json),
            (&["application/problem+json"], Form::Json),
            (&["text/html,application/json"], Form::Text),
            (&["application/json", "text/html"], Form::Text),
            (&["*/*"], Form::Text),
            (&[], Form::Text),
        ] {
            let accept: Vec<_> = accept.iter().map(|value| ("accept", *value)).collect();
            assert_eq!(fields(&accept).form(), form, "{accept:?}");
        }
    }

    #[test]
    fn only_the_first_content_type_makes_a_call() {
        let grpc = ("content-type", "application/grpc");
        assert_eq!(fields(&[grpc]).form(), Form::Grpc);
        assert!(!fields(&[("content-type", "text/plain"), grpc]).is_call);
    }
}
