//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` inside string values. The environment is passed in.

use std::borrow::Cow;
use std::fmt;

/// Where variables come from.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A string whose variables can't be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    message: String,
    /// How the place at fault begins, to point at it.
    pub(super) at: String,
}

/// `text` with its variables filled in. As in a shell, `:-` and `:?` take an empty variable as unset.
pub(super) fn interpolate<'t>(text: &'t str, env: Env<'_>) -> Result<Cow<'t, str>, Unfilled> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
            continue;
        }
        let Some((inside, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) else {
            return Err(Unfilled::new(
                "$",
                "`$` starts a variable, as `${NAME}`; a dollar sign is written `$$`",
            ));
        };
        filled.push_str(&fill(inside, env)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(Cow::Owned(filled))
}

/// The value of what stands between the braces.
fn fill(inside: &str, env: Env<'_>) -> Result<String, Unfilled> {
    let length = inside.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let (name, operator) = inside.split_at(length);
    let at = format!("${{{name}");
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Unfilled::new(&at, "a variable's name has letters, digits and `_`, and no digit first"));
    }
    let value = env(name);
    if operator.is_empty() {
        return value.ok_or_else(|| {
            Unfilled::new(&at, &format!("{name} is not set; set it, or write `${{{name}:-default}}`"))
        });
    }
    let value = value.filter(|value| !value.is_empty());
    if let Some(default) = operator.strip_prefix(":-") {
        return Ok(value.unwrap_or_else(|| default.to_owned()));
    }
    match operator.strip_prefix(":?") {
        Some("") => value.ok_or_else(|| Unfilled::new(&at, &format!("{name} is not set"))),
        Some(message) => value.ok_or_else(|| Unfilled::new(&at, &format!("{name} is not set: {message}"))),
        None => Err(Unfilled::new(
            &at,
            &format!("write `${{{name}}}`, `${{{name}:-default}}` or `${{{name}:?message}}`"),
        )),
    }
}

impl Unfilled {
    fn new(at: &str, message: &str) -> Self {
        Self { message: message.to_owned(), at: at.to_owned() }
    }
}

impl fmt::Display for Unfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("shop.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in_as_a_shell_does() {
        for (text, filled) in [
            ("plain", "plain"),
            ("${HOST}", "shop.example"),
            ("api.${HOST}:80", "api.shop.example:80"),
            ("${HOST:-x}${HOST:?y}", "shop.exampleshop.example"),
            ("${UNSET:-x}", "x"),
            ("${UNSET:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("$$", "$"),
            ("$${HOST}", "${HOST}"),
            ("a$$$$b", "a$$b"),
            ("}{", "}{"),
        ] {
            assert_eq!(interpolate(text, &env).as_deref(), Ok(filled), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_says_why_and_where() {
        for (text, at, message) in [
            ("${UNSET}", "${UNSET", "UNSET is not set; set it, or write `${UNSET:-default}`"),
            ("${UNSET:?ask ops}", "${UNSET", "UNSET is not set: ask ops"),
            ("${EMPTY:?}", "${EMPTY", "EMPTY is not set"),
            ("${HOST-x}", "${HOST", "write `${HOST}`, `${HOST:-default}` or `${HOST:?message}`"),
            ("$HOST", "$", "`$` starts a variable, as `${NAME}`; a dollar sign is written `$$`"),
            ("${HOST", "$", "`$` starts a variable, as `${NAME}`; a dollar sign is written `$$`"),
            ("${}", "${", "a variable's name has letters, digits and `_`, and no digit first"),
            ("${1}", "${1", "a variable's name has letters, digits and `_`, and no digit first"),
        ] {
            let error = interpolate(text, &env).expect_err(text);
            assert_eq!((error.at.as_str(), error.to_string().as_str()), (at, message), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_with_its_dollars_doubled_comes_back_as_it_was(text in any::<String>()) {
            let doubled = text.replace('$', "$$");
            let filled = interpolate(&doubled, &env).map(Cow::into_owned);
            prop_assert_eq!(filled, Ok(text));
        }
    }
}
