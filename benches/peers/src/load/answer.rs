//! An answer, as it comes in. Strict: a status other than 200, another length or another byte than expected is an error.

/// How far the answer is.
#[derive(Default)]
pub(super) struct Answer {
    /// A head that is not whole yet.
    head: Vec<u8>,
    /// How much of the body came; none before the head is whole.
    body: Option<usize>,
    ends_connection: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    More,
    Done { ends_connection: bool },
}

impl Answer {
    pub(super) fn has_begun(&self) -> bool {
        self.body.is_some() || !self.head.is_empty()
    }

    /// Takes the next bytes. What is wrong with them, if something is, in words that are the same each time.
    pub(super) fn take(&mut self, bytes: &[u8], expected: &[u8]) -> Result<Progress, String> {
        let Some(got) = self.body else {
            // The usual case: the whole head is in this one piece, and nothing is copied.
            if self.head.is_empty()
                && let Some(end) = end_of_head(bytes)
            {
                self.begin(&bytes[..end], expected.len())?;
                return self.take(&bytes[end..], expected);
            }
            self.head.extend_from_slice(bytes);
            let Some(end) = end_of_head(&self.head) else { return Ok(Progress::More) };
            let head = std::mem::take(&mut self.head);
            self.begin(&head[..end], expected.len())?;
            return self.take(&head[end..], expected);
        };
        let wanted = expected.get(got..got + bytes.len()).ok_or("more bytes than the body has")?;
        if wanted != bytes {
            return Err("another body".to_owned());
        }
        self.body = Some(got + bytes.len());
        if got + bytes.len() < expected.len() {
            return Ok(Progress::More);
        }
        let ends_connection = self.ends_connection;
        *self = Answer::default();
        Ok(Progress::Done { ends_connection })
    }

    fn begin(&mut self, head: &[u8], expected: usize) -> Result<(), String> {
        let head = std::str::from_utf8(head).map_err(|_| "a head that is no text")?;
        let status = head.get(9..12).unwrap_or_default();
        if !head.starts_with("HTTP/1.1 ") || status != "200" {
            return Err(format!("status {status}"));
        }
        let length = field(head, "content-length").ok_or("no content-length")?;
        if length.parse() != Ok(expected) {
            return Err(format!("content-length {length} instead of {expected}"));
        }
        self.ends_connection =
            field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.body = Some(0);
        Ok(())
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn field<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::{Answer, Progress};

    const DONE: Result<Progress, String> = Ok(Progress::Done { ends_connection: false });
    const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_is_done_with_its_last_byte_however_it_is_cut() {
        for cut in 1..WHOLE.len() {
            let (first, second) = WHOLE.split_at(cut);
            let mut answer = Answer::default();
            assert_eq!(answer.take(first.as_bytes(), b"hello"), Ok(Progress::More), "cut at {cut}");
            assert_eq!(answer.take(second.as_bytes(), b"hello"), DONE, "cut at {cut}");
        }
    }

    #[test]
    fn another_status_length_or_byte_is_an_error() {
        for (from, to, error) in [
            ("200", "503", "status 503"),
            ("5\r\n", "6\r\n", "content-length 6 instead of 5"),
            ("hello", "hallo", "another body"),
            ("hello", "hello!", "more bytes than the body has"),
            ("Content-Length: 5", "X: y", "no content-length"),
        ] {
            let wrong = WHOLE.replacen(from, to, 1);
            assert_eq!(Answer::default().take(wrong.as_bytes(), b"hello"), Err(error.to_owned()), "{wrong}");
        }
    }
}
