//! What was asked of one gap, each question once, in the order in which they came. What does not fit any more is lost, and that is said: then nothing that
//! was noted is worth anything.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use tbuild_layers::Gap;

/// For names that are not in the gap, and names of extended attributes: who asks for more is no build.
const NAMES_BYTES_MAX: usize = 64 << 20;

/// tbuild's letters (docs/native.md).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Question {
    Look,
    Status,
    Size,
    Link,
    List,
    Content,
    Attribute,
    Attributes,
    Opaque,
    Plain,
}

impl Question {
    pub const ALL: [Self; 10] = [
        Self::Look,
        Self::Status,
        Self::Size,
        Self::Link,
        Self::List,
        Self::Content,
        Self::Attribute,
        Self::Attributes,
        Self::Opaque,
        Self::Plain,
    ];

    pub fn letter(self) -> char {
        char::from(b"LSZRDCXAOP"[self as usize])
    }
}

/// What a question was about.
#[derive(PartialEq, Eq, Hash, Clone)]
enum About {
    Entry(u32),
    /// A path that is not there, or a path, a zero and the name of an attribute.
    Name(Box<[u8]>),
}

pub struct Log {
    /// For each entry of the gap a bit for each question that has been noted.
    seen: Vec<AtomicU16>,
    noted: Mutex<Noted>,
    is_lost: AtomicBool,
}

#[derive(Default)]
struct Noted {
    questions: [Vec<About>; Question::ALL.len()],
    names: HashSet<(u8, Box<[u8]>)>,
    name_bytes: usize,
}

impl Log {
    /// Of a gap of so many entries.
    pub fn new(count: usize) -> Self {
        Self { seen: (0..count).map(|_| AtomicU16::new(0)).collect(), noted: Mutex::default(), is_lost: AtomicBool::new(false) }
    }

    pub fn note(&self, question: Question, entry: usize) {
        let bit = 1 << question as u8;
        if self.seen[entry].load(Ordering::Relaxed) & bit == 0 && self.seen[entry].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.with(|noted| noted.questions[question as usize].push(About::Entry(entry as u32)));
        }
    }

    /// A question about a path that is no entry's, or with more to it than a path.
    pub fn note_name(&self, question: Question, name: Vec<u8>) {
        self.with(|noted| {
            let name: Box<[u8]> = name.into();
            if noted.names.contains(&(question as u8, name.clone())) {
                return;
            }
            // It is kept twice.
            let bytes = 2 * (name.len() + size_of::<About>());
            if noted.name_bytes + bytes > NAMES_BYTES_MAX {
                return self.is_lost.store(true, Ordering::Relaxed);
            }
            noted.name_bytes += bytes;
            noted.names.insert((question as u8, name.clone()));
            noted.questions[question as usize].push(About::Name(name));
        });
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Every question with what it was about, as bytes.
    pub fn each(&self, gap: &Gap, mut visit: impl FnMut(Question, &[u8])) {
        self.with(|noted| {
            for question in Question::ALL {
                for about in &noted.questions[question as usize] {
                    match about {
                        About::Entry(position) => visit(question, gap.entry(*position as usize).map_or(b"", |entry| &entry.path)),
                        About::Name(name) => visit(question, name),
                    }
                }
            }
        });
    }

    fn with(&self, work: impl FnOnce(&mut Noted)) {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_noted_once() {
        let log = Log::new(2);
        for _ in 0..3 {
            log.note(Question::Status, 1);
            log.note_name(Question::Look, b"none".to_vec());
        }
        log.note_name(Question::Attribute, b"none".to_vec());
        log.with(|noted| assert_eq!(noted.questions.each_ref().map(Vec::len), [1, 1, 0, 0, 0, 0, 1, 0, 0, 0]));
        assert!(!log.is_lost());
    }

    #[test]
    fn what_is_too_much_is_lost_and_that_is_said() {
        let log = Log::new(1);
        for number in 0..NAMES_BYTES_MAX >> 20 {
            log.note_name(Question::Look, [vec![b'x'; 1 << 20], number.to_le_bytes().to_vec()].concat());
        }
        assert!(log.is_lost());
        log.with(|noted| assert!(noted.name_bytes < NAMES_BYTES_MAX + (4 << 20) && noted.names.len() < 32));
    }
}
