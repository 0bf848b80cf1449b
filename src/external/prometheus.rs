//! An instant query and its one number.
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>.

use reqwest::Url;
use serde::Deserialize;

use super::client::{Answer, first_line};
use crate::domain::rollout::Reading;

/// Of an answer, no more is read: one number is short.
pub(super) const ANSWER: usize = 64 * 1024;
/// Of an error, no more is shown, in characters.
const LINE: usize = 200;

/// The URL of a query to the server at `address`, which may have a path.
pub(super) fn url(address: &str, query: &str) -> Result<String, String> {
    let base = format!("{}/api/v1/query", address.trim_end_matches('/'));
    let mut url = Url::parse(&base).map_err(|error| format!("{base} is not a URL: {error}"))?;
    url.query_pairs_mut().append_pair("query", query);
    Ok(url.into())
}

/// What an answer says.
pub(super) fn read(answer: &Answer) -> Reading {
    number(answer).map_or_else(Reading::Nothing, Reading::Number)
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Said {
    Success { data: Data },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "snake_case")]
enum Data {
    Vector(Vec<Sample>),
    Scalar(Point),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    /// `None`: a native histogram.
    value: Option<Point>,
}

/// A moment, and a number as text.
#[derive(Deserialize)]
struct Point(#[allow(dead_code, reason = "the moment is now")] f64, String);

fn number(answer: &Answer) -> Result<f64, String> {
    if answer.cut {
        return Err(format!("more than {} KiB: the query must give one number", ANSWER / 1024));
    }
    let said = serde_json::from_slice(&answer.body).map_err(|_| match first_line(&answer.body, LINE) {
        line if line.is_empty() => format!("answered {}", answer.status),
        line => format!("answered {}, which is not Prometheus: {line}", answer.status),
    })?;
    let data = match said {
        Said::Success { data } => data,
        Said::Error { error } => {
            return Err(format!("answered {}: {}", answer.status, first_line(error.as_bytes(), LINE)));
        }
    };
    let Point(_, text) = match data {
        Data::Scalar(point) => point,
        Data::Vector(samples) => one(samples)?,
        Data::Matrix(_) | Data::String(_) => return Err("the query gives no single number".to_owned()),
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Err("no data (NaN)".to_owned()),
        // JSON, in which verdicts are kept, has no infinity.
        Ok(number) => Ok(number.clamp(f64::MIN, f64::MAX)),
        Err(_) => Err(format!("{text:?} is not a number")),
    }
}

fn one(samples: Vec<Sample>) -> Result<Point, String> {
    let count = samples.len();
    let mut samples = samples.into_iter();
    match (samples.next(), samples.next()) {
        (None, _) => Err("no data".to_owned()),
        (Some(sample), None) => {
            sample.value.ok_or_else(|| "the query gives a histogram, not a number".to_owned())
        }
        (Some(_), Some(_)) => Err(format!("{count} numbers: the query must give one, as with `sum(…)`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(status: u16, body: &str) -> Reading {
        read(&Answer { status, body: body.as_bytes().to_vec(), cut: false })
    }

    fn success(kind: &str, result: &str) -> Reading {
        let data = format!("{{\"resultType\":\"{kind}\",\"result\":{result}}}");
        reading(200, &format!("{{\"status\":\"success\",\"data\":{data},\"warnings\":[]}}"))
    }

    #[test]
    fn one_number_is_read_from_a_vector_or_a_scalar() {
        let table = [
            ("vector", r#"[{"metric":{},"value":[1700000000.5,"0.25"]}]"#, 0.25),
            ("scalar", r#"[1700000000,"-3"]"#, -3.0),
            ("vector", r#"[{"metric":{"a":"b"},"value":[1,"+Inf"]}]"#, f64::MAX),
            ("vector", r#"[{"metric":{"a":"b"},"value":[1,"-Inf"]}]"#, f64::MIN),
        ];
        for (kind, result, number) in table {
            assert_eq!(success(kind, result), Reading::Number(number), "{result}");
        }
    }

    #[test]
    fn what_is_not_one_number_is_no_measurement_and_says_why() {
        let two = r#"[{"metric":{},"value":[1,"1"]},{"metric":{"a":"b"},"value":[1,"2"]}]"#;
        let table = [
            (success("vector", "[]"), "no data"),
            (success("vector", r#"[{"metric":{},"value":[1,"NaN"]}]"#), "no data (NaN)"),
            (success("vector", two), "2 numbers: the query must give one, as with `sum(…)`"),
            (
                success("vector", r#"[{"metric":{},"histogram":[1,{}]}]"#),
                "the query gives a histogram, not a number",
            ),
            (success("matrix", "[]"), "the query gives no single number"),
            (success("string", r#"[1,"x"]"#), "the query gives no single number"),
            (
                reading(400, r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error"}"#),
                "answered 400: 1:5: parse error",
            ),
            (reading(502, "<html>bad gateway"), "answered 502, which is not Prometheus: <html>bad gateway"),
            (reading(503, ""), "answered 503"),
        ];
        for (reading, why) in table {
            assert_eq!(reading, Reading::Nothing(why.to_owned()));
        }
    }

    #[test]
    fn an_answer_that_goes_on_and_on_is_no_measurement() {
        let endless = Answer { status: 200, body: b"{".repeat(ANSWER), cut: true };
        assert!(matches!(read(&endless), Reading::Nothing(why) if why.contains("64 KiB")));
    }

    #[test]
    fn a_query_is_asked_below_the_servers_own_path() {
        let url = url("http://p:9090/prom/", "sum(rate(x{a=\"b\"}[1m])) + 1");
        let asked =
            "http://p:9090/prom/api/v1/query?query=sum%28rate%28x%7Ba%3D%22b%22%7D%5B1m%5D%29%29+%2B+1";
        assert_eq!(url.as_deref(), Ok(asked));
    }
}
