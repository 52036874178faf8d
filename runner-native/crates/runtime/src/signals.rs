//! Signals by name and number, as people and runtimes write them: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.

const NAMES: [(&str, i32); 33] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Upper or lower case; 0 is no signal but a question, and allowed as a number.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=*REAL_TIME.end()).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => *REAL_TIME.start(),
        (_, Some("")) => *REAL_TIME.end(),
        (Some(more), _) => REAL_TIME.start().checked_add(more.strip_prefix('+')?.parse().ok()?)?,
        (_, Some(less)) => REAL_TIME.end().checked_sub(less.strip_prefix('-')?.parse().ok()?)?,
        _ => return None,
    };
    REAL_TIME.contains(&real_time).then_some(real_time)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in
            [("TERM", 15), ("sigterm", 15), ("9", 9), ("0", 0), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("CLD", 17)]
        {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "SIG", "65", "-1", "RTMIN+40", "RTMAX+1", "NOPE"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
