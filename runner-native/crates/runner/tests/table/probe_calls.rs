//! What the probe can find out only by calls that no crate has in a safe form: attributes of a process, and which system calls a filter lets through.
//! A call is tried by a process of its own, with arguments that no call can do anything with, so that only the filter and the rights to it show.
#![allow(unsafe_code)]

use crate::runtimes::Facts;
use std::ffi::{c_char, c_int};
use syscalls::Sysno;

/// A fork whose child comes back on the parent's stack; what writes all of the machine's data out; what only the kernel returns from; what waits.
const NOT_TRIED: [&str; 4] = ["vfork", "sync", "rt_sigreturn", "pause"];
const RETURNED: c_int = 200;

pub fn attributes(facts: &mut Facts) {
    let mut add = |name: &str, value: i64| drop(facts.insert(name.to_owned(), value.to_string()));
    // SAFETY: these calls only answer.
    unsafe {
        add("dumpable", libc::prctl(libc::PR_GET_DUMPABLE).into());
        add("secure bits", libc::prctl(libc::PR_GET_SECUREBITS).into());
        add("keeps capabilities", libc::prctl(libc::PR_GET_KEEPCAPS).into());
        add("timer slack", libc::prctl(libc::PR_GET_TIMERSLACK).into());
        add("scheduler", libc::sched_getscheduler(0).into());
        add("I/O priority", libc::syscall(libc::SYS_ioprio_get, 1, 0));
        // Numbers are whatever is free; who leads whom is not. (The leader may be outside, and have no number here.)
        add("leads its session", i64::from(libc::getsid(0) == libc::getpid()));
        add("leads its group", i64::from(libc::getpgrp() == libc::getpid()));
    }
    let mut subreaper: c_int = 0;
    // SAFETY: writes one integer.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) };
    facts.insert("subreaper".into(), subreaper.to_string());
    facts.insert("session keyring".into(), session_keyring());
}

/// Type, owner, rights and name.
fn session_keyring() -> String {
    const KEYCTL_DESCRIBE: c_int = 6;
    const KEY_SPEC_SESSION_KEYRING: c_int = -3;
    let mut text = [0_u8; 256];
    // SAFETY: writes at most as many bytes as there are.
    let length = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text.as_mut_ptr().cast::<c_char>(), text.len())
    };
    match usize::try_from(length) {
        Ok(length) => String::from_utf8_lossy(&text[..length.saturating_sub(1).min(text.len())]).into_owned(),
        Err(_) => format!("error {}", std::io::Error::last_os_error().raw_os_error().unwrap_or_default()),
    }
}

pub fn try_all(facts: &mut Facts) {
    for call in Sysno::iter().filter(|call| !NOT_TRIED.contains(&call.name())) {
        facts.insert(format!("call {}", call.name()), attempt(call.id().into()));
    }
    // A number that no kernel has yet, and one of another architecture's (x32).
    facts.insert("call number 4000".into(), attempt(4000));
    #[cfg(target_arch = "x86_64")]
    facts.insert("call x32 getpgid".into(), attempt(0x4000_0000 + i64::from(Sysno::getpgid.id())));
}

fn attempt(number: i64) -> String {
    // SAFETY: this program has one thread; the child does nothing but calls, and ends.
    match unsafe { libc::fork() } {
        -1 => "cannot fork".into(),
        0 => try_and_end(number),
        child => {
            let mut status: c_int = 0;
            // SAFETY: writes one integer.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
                (true, _) => format!("signal {}", libc::WTERMSIG(status)),
                (false, RETURNED) => "returns".into(),
                (false, errno) => format!("error {errno}"),
            }
        }
    }
}

fn try_and_end(number: i64) -> ! {
    const PATIENCE_SECONDS: libc::time_t = 5;
    let soon = libc::timeval { tv_sec: PATIENCE_SECONDS, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: soon, it_value: soon };
    // SAFETY: no thread but this; -1 is no address, descriptor, process, signal or size that a call could act on.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0); // a call that kills leaves no core
        libc::setsid(); // one that hangs up has no terminal
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()); // one that waits all the same is ended
        let result = libc::syscall(number, -1, -1, -1, -1, -1, -1);
        libc::_exit(if result == -1 { *libc::__errno_location() } else { RETURNED })
    }
}
