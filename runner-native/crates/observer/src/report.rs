//! What was observed, as JSON: `observed` of docs/native.md, and why nothing of it counts, if so. By hand, for paths are bytes: those that are not UTF-8
//! are lone surrogates in it (PEP 383), which no JSON library writes.

use std::fmt::Write;

use crate::connection::Connection;
use crate::log::Question;

/// `{"failed": null|"why", "wasCut": bool, "observed": {…}}`. `was_cut`: the kernel asks nothing any more.
pub fn report(connections: &[Connection], failed: Option<&str>, was_cut: bool, taint: Option<&str>) -> String {
    let mut text = String::from("{\"failed\":");
    put_maybe(&mut text, failed);
    let _ = write!(text, ",\"wasCut\":{was_cut},\"observed\":{{\"gaps\":[");
    for (position, connection) in connections.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        put_gap(&mut text, connection);
    }
    text.push_str("],\"taint\":");
    put_maybe(&mut text, taint);
    let is_lost = connections.iter().any(Connection::is_lost);
    let _ = write!(text, ",\"lost\":{is_lost}}}}}");
    text
}

fn put_maybe(text: &mut String, words: Option<&str>) {
    match words {
        Some(words) => put_text(text, words.as_bytes()),
        None => text.push_str("null"),
    }
}

fn put_gap(text: &mut String, connection: &Connection) {
    text.push('{');
    let mut last: Option<Question> = None;
    connection.each_question(|question, about| {
        match last {
            Some(last) if last == question => text.push(','),
            before => {
                text.push_str(if before.is_some() { "]," } else { "" });
                let _ = write!(text, "\"{}\":[", question.letter());
            }
        }
        last = Some(question);
        put_text(text, about);
    });
    text.push_str(if last.is_some() { "]}" } else { "}" });
}

fn put_text(text: &mut String, bytes: &[u8]) {
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                '\0'..='\x1f' => drop(write!(text, "\\u{:04x}", character as u32)),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\udc{byte:02x}");
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::put_text;

    #[test]
    fn bytes_that_are_no_text_are_lone_surrogates() {
        let mut text = String::new();
        put_text(&mut text, b"a\"\\\0\n\xc3\xa9\xff\xc3x\xed\xa0\x80");
        assert_eq!(text, "\"a\\\"\\\\\\u0000\\u000aé\\udcff\\udcc3x\\udced\\udca0\\udc80\"");
    }
}
