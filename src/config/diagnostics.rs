//! What is wrong with a config: what, where, and what to do. For people and for machines.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde_json::json;

/// More errors than this are counted, not shown.
const SHOWN: usize = 100;
/// A longer line is not quoted.
const LONGEST_QUOTED_LINE: usize = 400;

/// All that is wrong with one text, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    unshown: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The key it is about, as `services.web.rollout.steps[1]`; empty when it is about the whole file or its syntax.
    pub path: String,
    /// The bytes of the text; `None` when it is about the whole file.
    pub span: Option<Range<usize>>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    quoted: Option<Quoted>,
}

/// The line of the text that a diagnostic points at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Quoted {
    text: String,
    marked: Range<usize>,
}

/// How text for people is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without escape sequences.
    Plain,
    /// With ANSI colours, for a terminal.
    Coloured,
}

/// Something wrong, as found; [`Diagnostics::new`] adds line and column.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) path: String,
    pub(super) span: Option<Range<usize>>,
}

impl Diagnostics {
    pub(super) fn new(text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        let unshown = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        let list = problems.into_iter().map(|problem| Diagnostic::new(text, problem)).collect();
        Self { list, unshown }
    }

    /// The errors, at least one and at most 100, in the order of the text.
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// For people: every error with its line of the text. `file` is the name to show.
    pub fn render(&self, file: &str, style: Style) -> String {
        let mut all: Vec<_> = self.list.iter().map(|diagnostic| diagnostic.render(file, style)).collect();
        if self.unshown > 0 {
            all.push(format!("… and {} more errors", self.unshown));
        }
        all.join("\n\n")
    }

    /// For machines: `{"valid":false,"errors":[{"file","line","column","path","message","help"}]}`.
    pub fn to_json(&self, file: &str) -> serde_json::Value {
        let errors: Vec<_> = self.list.iter().map(|diagnostic| diagnostic.to_json(file)).collect();
        json!({ "valid": false, "errors": errors })
    }
}

impl Diagnostic {
    fn new(text: &str, problem: Problem) -> Self {
        let Problem { message, help, path, span } = problem;
        let start = span.as_ref().map_or(0, |span| border_at_or_before(text, span.start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[..line_start].bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let quoted = span.as_ref().and_then(|span| quote(text, line_start, start..span.end));
        Self { message, help, path, span, line, column, quoted }
    }

    fn render(&self, file: &str, style: Style) -> String {
        let title = match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        };
        let place: Element<'_> = match &self.quoted {
            Some(quoted) => Snippet::source(&quoted.text)
                .line_start(self.line)
                .path(file)
                .annotation(AnnotationKind::Primary.span(quoted.marked.clone()))
                .into(),
            None => Origin::path(file).line(self.line).char_column(self.column).into(),
        };
        let mut group = Level::ERROR.primary_title(title).element(place);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        match style {
            Style::Plain => Renderer::plain().render(&[group]),
            Style::Coloured => Renderer::styled().render(&[group]),
        }
    }

    fn to_json(&self, file: &str) -> serde_json::Value {
        json!({
            "file": file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "help": self.help,
        })
    }
}

/// The line that starts at `line_start`, with what of `span` lies on it marked; `None` when it is too long to show.
fn quote(text: &str, line_start: usize, span: Range<usize>) -> Option<Quoted> {
    let line_end = text[line_start..].find('\n').map_or(text.len(), |length| line_start + length);
    let line = text[line_start..line_end].trim_end_matches('\r');
    if line.len() > LONGEST_QUOTED_LINE {
        return None;
    }
    let start = (span.start - line_start).min(line.len());
    let end = border_at_or_before(line, span.end.saturating_sub(line_start)).max(start);
    Some(Quoted { text: line.to_owned(), marked: start..end })
}

fn border_at_or_before(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Diagnostics {
    /// One line per error: `line 3, column 1: services.web: unknown key …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.list.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        match self.unshown {
            0 => Ok(()),
            unshown => write!(f, "\n… and {unshown} more errors"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostics {}
