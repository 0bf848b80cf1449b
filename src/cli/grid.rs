//! Text in columns, for terminals and for files.

use std::io::{self, IsTerminal};
use std::{env, iter};

/// How output is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Columns that there are; `None`: as many as it takes.
    pub(super) width: Option<usize>,
    pub(super) colour: Colour,
    /// Whether a person watches.
    pub(super) terminal: bool,
}

/// Whether colours are understood and wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Ansi,
    None,
}

/// What a colour means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
}

/// One piece of text with its colour.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    text: String,
    tint: Tint,
}

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(super) struct Grid {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// To which side of its column a cell moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Between two columns.
const GAP: &str = "  ";
/// Less room than this for a column of text is none; then lines grow longer than the terminal.
const LEAST: usize = 12;

impl Look {
    /// As standard output wants it. The width is that of `COLUMNS`, when the shell passes it on.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self { width: columns.filter(|_| terminal), colour: Colour::of(&io::stdout()), terminal }
    }
}

impl Colour {
    /// Colours are for terminals, and for those who did not ask for none (no-color.org).
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        if stream.is_terminal() && !unwanted { Self::Ansi } else { Self::None }
    }

    /// `text` in the colour of its meaning.
    pub(super) fn paint(self, tint: Tint, text: &str) -> String {
        let code = match (self, tint) {
            (Self::None, _) | (Self::Ansi, Tint::Plain) => return text.to_owned(),
            (Self::Ansi, Tint::Strong) => 1,
            (Self::Ansi, Tint::Faint) => 2,
            (Self::Ansi, Tint::Good) => 32,
            (Self::Ansi, Tint::Warning) => 33,
            (Self::Ansi, Tint::Bad) => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Cell {
    /// Control characters are replaced: what comes from elsewhere must not command the terminal.
    pub(super) fn new(text: impl AsRef<str>, tint: Tint) -> Self {
        Self { text: harmless(text.as_ref()), tint }
    }

    pub(super) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(text, Tint::Plain)
    }

    /// As it is shown.
    pub(super) fn painted(&self, look: Look) -> String {
        look.colour.paint(self.tint, &self.text)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl Grid {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column.
    pub(super) fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(row.into());
    }

    /// All rows below a line of titles, indented by two; the last column is cut to the width that is left, and others, the
    /// widest first, where that is too little. Columns in which no row has anything are left out.
    pub(super) fn render(mut self, look: Look) -> String {
        self.drop_empty_columns();
        let titles = self.columns.iter().map(|(title, _)| Cell::new(title, Tint::Faint)).collect();
        let rows: Vec<Vec<Cell>> = iter::once(titles).chain(self.rows).collect();
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or_default())
            .collect();
        if let Some(room) = look.width {
            squeeze(&mut widths, &self.columns, room);
        }
        rows.iter().map(|row| line(row, &self.columns, &widths, look)).collect()
    }

    fn drop_empty_columns(&mut self) {
        let filled: Vec<bool> = (0..self.columns.len())
            .map(|column| self.rows.iter().any(|row| !row[column].text.is_empty()))
            .collect();
        retain(&mut self.columns, &filled);
        for row in &mut self.rows {
            retain(row, &filled);
        }
    }
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| keep.next().copied().unwrap_or_default());
}

/// Takes from columns of text, but for the last, what the last one needs to be readable.
fn squeeze(widths: &mut [usize], columns: &[(&'static str, Align)], room: usize) {
    let Some((last, others)) = widths.split_last_mut() else { return };
    let last = (*last).min(LEAST) + GAP.len();
    while others.iter().map(|width| width + GAP.len()).sum::<usize>() + last > room {
        let texts = others.iter_mut().zip(columns).filter(|(_, (_, align))| *align == Align::Left);
        match texts.map(|(width, _)| width).max() {
            Some(widest) if *widest > LEAST => *widest -= 1,
            Some(_) | None => return,
        }
    }
}

fn line(row: &[Cell], columns: &[(&'static str, Align)], widths: &[usize], look: Look) -> String {
    let mut line = String::new();
    let mut used = 0;
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(GAP);
        used += GAP.len();
        let last = index + 1 == row.len();
        let text = match look.width {
            Some(room) if last => cut(&cell.text, room.saturating_sub(used).max(LEAST)),
            Some(_) => shorten(&cell.text, *width),
            None => cell.text.clone(),
        };
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let painted = look.colour.paint(cell.tint, &text);
        match columns[index].1 {
            Align::Right => line.extend([padding, painted]),
            Align::Left => line.extend([painted, padding]),
        }
        used += width;
    }
    format!("{}\n", line.trim_end())
}

/// `text` in at most `room` columns.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

/// `text` in at most `room` columns, without its middle: names differ at their ends.
fn shorten(text: &str, room: usize) -> String {
    let long = text.chars().count();
    if long <= room {
        return text.to_owned();
    }
    let head = room / 2;
    let tail = room.saturating_sub(head + 1);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(long - tail)).collect()
}

/// `label` in a column of its own, then `text`, broken between words where there is a width.
pub(super) fn labelled(label: &str, tint: Tint, text: &str, look: Look) -> String {
    const LABEL: usize = 9;
    let room = look.width.map(|width| width.saturating_sub(LABEL + 2).max(LEAST));
    let mut out = String::new();
    for (index, part) in text.lines().flat_map(|line| wrap(&harmless(line), room)).enumerate() {
        let label = if index == 0 { label } else { "" };
        let padding = " ".repeat(LABEL.saturating_sub(label.chars().count()));
        let label = look.colour.paint(if label.is_empty() { Tint::Plain } else { tint }, label);
        out.push_str(format!("  {label}{padding}{part}").trim_end());
        out.push('\n');
    }
    out
}

/// Lines of at most `room` columns, broken at spaces; a longer word stays whole.
fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("starts with one line and never loses any");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: false };

    fn grid() -> Grid {
        let mut grid = Grid::new(&[("NAME", Align::Left), ("N", Align::Right), ("WHY", Align::Left)]);
        grid.push([Cell::plain("a"), Cell::plain("1"), Cell::plain("")]);
        grid.push([Cell::plain("longer"), Cell::plain("1,000"), Cell::plain("because of the weather")]);
        grid
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let expected = "  NAME        N  WHY\n  a           1\n  longer  1,000  because of the weather\n";
        assert_eq!(grid().render(PLAIN), expected);
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminals_width() {
        let narrow = Look { width: Some(30), ..PLAIN };
        let expected = "  NAME        N  WHY\n  a           1\n  longer  1,000  because of t…\n";
        assert_eq!(grid().render(narrow), expected);
    }

    #[test]
    fn where_the_last_column_has_no_room_the_widest_of_the_others_loses_its_middle() {
        let mut grid = Grid::new(&[("NAME", Align::Left), ("N", Align::Right), ("WHY", Align::Left)]);
        grid.push([Cell::plain("a-project-web-1"), Cell::plain("1"), Cell::plain("because of the weather")]);
        grid.push([Cell::plain("b"), Cell::plain("1,000"), Cell::plain("")]);
        let narrow = Look { width: Some(36), ..PLAIN };
        let shown = grid.render(narrow);
        assert!(shown.lines().all(|line| line.chars().count() <= 36), "{shown}");
        assert!(shown.contains("web-1 ") && shown.contains('…'), "{shown}");
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let mut grid = Grid::new(&[("A", Align::Left), ("B", Align::Left), ("C", Align::Left)]);
        grid.push([Cell::plain("1"), Cell::plain(""), Cell::plain("3")]);
        assert_eq!(grid.render(PLAIN), "  A  C\n  1  3\n");
    }

    #[test]
    fn colour_changes_no_widths() {
        let mut painted = Grid::new(&[("STATE", Align::Left), ("N", Align::Right)]);
        painted.push([Cell::new("ok", Tint::Good), Cell::plain("1")]);
        let shown = painted.render(Look { colour: Colour::Ansi, ..PLAIN });
        assert_eq!(shown, "  \x1b[2mSTATE\x1b[0m  \x1b[2mN\x1b[0m\n  \x1b[32mok\x1b[0m     1\n");
    }

    #[test]
    fn what_comes_from_elsewhere_does_not_command_the_terminal() {
        assert_eq!(Cell::plain("a\x1b[2Jb\u{9b}c").text, "a\u{fffd}[2Jb\u{fffd}c");
        assert!(!labelled("why", Tint::Plain, "x\x07y", PLAIN).contains('\x07'));
    }

    #[test]
    fn long_text_is_broken_between_words_below_its_label() {
        let narrow = Look { width: Some(23), ..PLAIN };
        let expected = "  why      one two\n           three\n           incomprehensibilities\n";
        assert_eq!(labelled("why", Tint::Plain, "one two three incomprehensibilities", narrow), expected);
    }
}
