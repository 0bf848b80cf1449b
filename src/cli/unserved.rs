//! Verbs that belong to the command line's contract but that this version does not have. They are refused by name,
//! so that nobody takes them for a typing error, or for done.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each with what to do instead.
const VERBS: [(&str, &str); 7] = [
    ("deploy", "add the version to the config, name it in `release`, then: adit reload"),
    ("undo", "name the old version in `release`, then: adit reload (it is released like any other)"),
    ("hold", "requests can't be made to wait yet"),
    ("release", "requests can't be made to wait yet"),
    ("drain", "take the endpoint out of the config, then: adit reload"),
    ("explain", "the verdict of the current rollout is in: adit status SERVICE"),
    ("history", "the last rollout of each service is in: adit status --json"),
];

/// What to say when the mistake is one of these verbs.
pub(super) fn refusal(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (verb, instead) = VERBS.iter().find(|(verb, _)| verb == typed)?;
    Some(format!("adit: `adit {verb}` is not served by this version; {instead}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    #[test]
    fn a_verb_that_is_not_served_says_what_to_do_instead() {
        for (verb, instead) in VERBS {
            let error = Cli::try_parse_from(["adit", verb, "web", "--version", "v2"]).expect_err(verb);
            let refusal = refusal(&error).unwrap_or_else(|| panic!("{verb}: {error}"));
            assert!(refusal.contains("not served") && refusal.contains(instead), "{refusal}");
        }
    }

    #[test]
    fn a_typing_error_is_left_to_the_usual_message() {
        let error = Cli::try_parse_from(["adit", "promot", "web"]).expect_err("no such verb");
        assert_eq!(refusal(&error), None);
    }
}
