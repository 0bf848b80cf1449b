//! `latency` in `[services.*.rollout.analysis]`: whether and how the canary's times are compared with stable's.

use std::time::Duration;

use super::reader::Table;
use super::value::Value;
use crate::domain::rollout::Latency;

/// More than this many times stable's time is no tolerance any more.
const MOST_TOLERATED: f64 = 16.0;
const LONGEST_WARMUP: Duration = Duration::from_secs(3600);

/// What a rollout looks at. No quantiles: at nothing.
pub(super) fn latency(table: &mut Table<'_>) -> Latency {
    let default = Latency::default();
    let read = |value: Value<'_>| quantiles(&value);
    let quantiles = table.value("quantiles").and_then(read).unwrap_or(default.quantiles);
    let tolerated = table.value("tolerated").and_then(|value| {
        let factor = value.number()?;
        if !(1.0..=MOST_TOLERATED).contains(&factor) {
            value.error("must be from 1 to 16: 1.189 is 18.9 % slower than stable", None);
            return None;
        }
        Some(factor)
    });
    let gates = table.value("gates").and_then(|value| gates(&value, &quantiles));
    Latency {
        gates: gates.unwrap_or_else(|| both(&default.gates, &quantiles)),
        quantiles,
        tolerated: tolerated.unwrap_or(default.tolerated),
        warmup: table.duration("warmup", Duration::ZERO..=LONGEST_WARMUP, default.warmup),
    }
}

/// Any of the three, each once.
fn quantiles(value: &Value<'_>) -> Option<Vec<f64>> {
    let mut seen = Vec::new();
    value.list(|item| {
        let number = item.number()?;
        if !Latency::QUANTILES.contains(&number) {
            item.error(format!("{number} is none of 0.5, 0.9 and 0.99"), None);
            return None;
        }
        if seen.contains(&number) {
            item.error(format!("{number} is there twice"), Some("remove one".to_owned()));
        }
        seen.push(number);
        Some(number)
    })
}

/// Nothing can be proven of what is not looked at.
fn gates(value: &Value<'_>, quantiles: &[f64]) -> Option<Vec<f64>> {
    let gates = self::quantiles(value)?;
    for gate in gates.iter().filter(|gate| !quantiles.contains(gate)) {
        let help = format!("add {gate} to `quantiles`, or remove it here");
        value.error(format!("{gate} is not among `quantiles`, so it can't be proven"), Some(help));
    }
    Some(gates)
}

fn both(some: &[f64], others: &[f64]) -> Vec<f64> {
    some.iter().filter(|number| others.contains(number)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Spec;

    fn read(latency: &str) -> Latency {
        let text = format!(
            "[[listeners]]\naddress = \"[::]:0\"\n[services.web]\nrelease = \"v1\"\n\
             versions.v1 = {{ endpoints = [\"a:1\"] }}\nrollout.analysis = {{ {latency} }}\n"
        );
        let spec: Spec = crate::config::parse(&text, &|_| None).expect("a good config");
        let web = spec.services.values().next().expect("a service");
        web.rollout.analysis.latency.clone().expect("always said")
    }

    #[test]
    fn latency_is_looked_at_unless_it_is_turned_off() {
        assert_eq!(read(""), Latency::default());
        let off = read("latency = { quantiles = [] }");
        assert_eq!((off.quantiles, off.gates), (vec![], vec![]));
    }

    #[test]
    fn only_what_is_looked_at_has_to_be_proven() {
        let latency = read("latency = { quantiles = [0.99, 0.5], tolerated = 2, warmup = \"1m\" }");
        assert_eq!((latency.quantiles, latency.gates), (vec![0.99, 0.5], vec![0.5]));
        assert_eq!((latency.tolerated, latency.warmup), (2.0, Duration::from_secs(60)));
        assert_eq!(read("latency = { gates = [0.99] }").gates, [0.99]);
    }
}
