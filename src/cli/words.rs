//! Numbers and moments as people read them.

/// Odds at and above this are cut off by the judge.
const HIGHEST: f64 = 1e12;

/// `value : 1`, as fine as a person wants it.
pub(super) fn odds(value: f64) -> String {
    match value {
        _ if value >= HIGHEST => "over 10^12 : 1".to_owned(),
        _ if value >= 10.0 => format!("{} : 1", group(&format!("{value:.0}"))),
        _ if value >= 0.1 => format!("{value:.1} : 1").replace(".0 :", " :"),
        _ => "below 0.1 : 1".to_owned(),
    }
}

pub(super) fn count(number: u64) -> String {
    group(&number.to_string())
}

/// `1234567` as `1,234,567`.
fn group(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2024-05-01T10:00:00.123Z` as `2024-05-01 10:00:00 UTC`; anything else as it is.
pub(super) fn moment(rfc3339: &str) -> String {
    match split(rfc3339) {
        Some((day, time)) => format!("{day} {time} UTC"),
        None => rfc3339.to_owned(),
    }
}

pub(super) fn time_of_day(rfc3339: &str) -> String {
    match split(rfc3339) {
        Some((_day, time)) => format!("{time} UTC"),
        None => rfc3339.to_owned(),
    }
}

/// From one moment to another, as people say it: `1.2 s`, `4 m 5 s`, `2 h 3 m`, `3 d 4 h`.
pub(super) fn duration(from: &str, to: &str) -> Option<String> {
    let [from, to] = [from, to].map(|at| at.parse::<jiff::Timestamp>().ok());
    let millis = to?.as_millisecond().checked_sub(from?.as_millisecond())?;
    let seconds = millis / 1_000;
    Some(match seconds {
        ..10 => format!("{seconds}.{} s", millis % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    })
}

/// Day and time to the second.
fn split(rfc3339: &str) -> Option<(&str, &str)> {
    let (day, time) = rfc3339.strip_suffix('Z')?.split_once('T')?;
    Some((day, time.split('.').next().unwrap_or(time)))
}
