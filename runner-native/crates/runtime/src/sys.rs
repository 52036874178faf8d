//! The kernel calls that rustix lacks or has only as `unsafe`: the one module of this crate that may use it.
//! Each function does one call; none decides anything. `clone` and `fork` assume a process with a single thread.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::ffi::{CStr, CString, c_int, c_long, c_void};
use std::mem::size_of;
use std::path::Path;

fn check(result: c_long) -> Result<c_long> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: errno is a thread's own integer.
    Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

pub enum Clone {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Forks into new namespaces (`CLONE_NEW…`, 0 for none).
pub fn clone(namespaces: u64) -> Result<Clone> {
    let mut pidfd: RawFd = -1;
    let arguments = CloneArguments {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Default::default()
    };
    // SAFETY: without CLONE_VM the child has its own copy of everything, and there are no other threads whose locks it could inherit.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) })?;
    Ok(match Pid::from_raw(pid as i32) {
        None => Clone::Child,
        // SAFETY: the kernel has just made this descriptor for us.
        Some(pid) => Clone::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } },
    })
}

/// Forks a sibling: a child of our parent, into new namespaces. Returns its pidfd, in the child nothing.
pub fn clone_sibling(namespaces: u64) -> Result<Option<OwnedFd>> {
    let mut pidfd: RawFd = -1;
    let flags = namespaces | libc::CLONE_PIDFD as u64 | libc::CLONE_PARENT as u64;
    let arguments = CloneArguments { flags, pidfd: &raw mut pidfd as u64, ..Default::default() };
    // SAFETY: as in `clone`.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) })?;
    // SAFETY: in the parent the kernel has just made this descriptor for us.
    Ok((pid > 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Who this thread is to file systems. The kernel tells of no error; who may not change it stays who he was.
pub fn set_file_ids(uid: u32, gid: u32) {
    // SAFETY: plain calls.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// This process is killed when the thread that made it ends.
pub fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
}

pub fn unshare(namespaces: c_int) -> Result<()> {
    // SAFETY: only namespaces are unshared, no descriptors.
    check(unsafe { libc::unshare(namespaces) }.into()).map(drop)
}

pub fn set_namespace(namespace: BorrowedFd<'_>, kind: c_int) -> Result<()> {
    // SAFETY: plain call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) }.into()).map(drop)
}

/// Ends this process without running anything of the process it was forked from.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status) }
}

/// Returns only when it failed.
pub fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers =
        |strings: &[CString]| -> Vec<*const libc::c_char> { strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect() };
    // SAFETY: both arrays end with a null pointer and outlive the call.
    let result = unsafe { libc::execve(path.as_ptr(), pointers(arguments).as_ptr(), pointers(environment).as_ptr()) };
    check(result.into()).err().unwrap_or(Errno::INVAL)
}

/// Executes an open file with this process's arguments and environment. Returns only when it failed.
pub fn execute_again(file: BorrowedFd<'_>, arguments: &[CString]) -> Errno {
    let pointers: Vec<*const libc::c_char> = arguments.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: the argument array ends with a null pointer; environ is the process's own.
    let result =
        unsafe { libc::syscall(libc::SYS_execveat, file.as_raw_fd(), c"".as_ptr(), pointers.as_ptr(), libc::environ, libc::AT_EMPTY_PATH) };
    check(result).err().unwrap_or(Errno::INVAL)
}

/// A descriptor that was handed to this process by number, on its command line. Takes it over.
pub fn inherited(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: plain call; fails on a number that is no descriptor.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: it exists, and who started us gave it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a descriptor is open, and not one of ours, which all close with execve: so our caller's.
pub fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: plain call; fails on a number that is no descriptor.
    unsafe { libc::fcntl(fd, libc::F_GETFD) == 0 }
}

/// All descriptors from `first` on will be closed by execve.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    // SAFETY: plain call.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }) {
        Err(Errno::INVAL) => close_on_exec_one_by_one(first),
        result => result.map(drop),
    }
}

/// Linux 5.10 has not learned to mark a range yet. Ours have small numbers; what is far above is the caller's, and can go now.
fn close_on_exec_one_by_one(first: u32) -> Result<()> {
    const FAR: u32 = 4096;
    for fd in first..FAR {
        // SAFETY: plain call; fails on a number that is no descriptor.
        unsafe { libc::fcntl(fd as RawFd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: as above; no owner of such a descriptor acts again before execve.
    check(unsafe { libc::syscall(libc::SYS_close_range, first.max(FAR), u32::MAX, 0) }).map(drop)
}

/// Closes every descriptor but those. Only for a forked child that uses nothing else afterwards and never returns.
pub fn close_all_but(keep: &mut [RawFd]) -> Result<()> {
    keep.sort_unstable();
    let mut next = 0;
    for &fd in keep.iter() {
        if fd < next {
            continue; // named twice
        }
        if fd > next {
            // SAFETY: the caller promises that no owner of these descriptors acts again.
            check(unsafe { libc::syscall(libc::SYS_close_range, next, fd - 1, 0) })?;
        }
        next = fd + 1;
    }
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_close_range, next, u32::MAX, 0) }).map(drop)
}

#[repr(C)]
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountAttributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns_fd: u64,
}

pub fn mount_setattr(mount: impl AsFd, path: &CStr, recursive: bool, attributes: MountAttributes) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<MountAttributes>();
    // SAFETY: the structure has the size that is passed.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, mount.as_fd().as_raw_fd(), path.as_ptr(), flags, &raw const attributes, size) })
        .map(drop)
}

/// Signals that no one can block, or that report faults of this very process.
const NOT_FORWARDED: [c_int; 9] =
    [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP, libc::SIGABRT, libc::SIGTTIN, libc::SIGTTOU];

/// Blocks what can be forwarded, and returns a descriptor that tells of it. Children inherit the mask: see `reset_signals`.
pub fn signals() -> Result<OwnedFd> {
    // SAFETY: the set is initialised by sigfillset before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in NOT_FORWARDED {
            libc::sigdelset(&raw mut set, signal);
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()).into())?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Any number, real-time ones too.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: a plain system call.
    check(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }.into()).map(drop)
}

/// The program that `command` starts is in a group of its own, in the foreground of the terminal that is its standard input, if it is one.
pub fn start_in_foreground(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let take_terminal = || {
        // SAFETY: plain system calls, in a process of one thread. From the background they would stop it, were SIGTTOU not ignored.
        unsafe {
            libc::setpgid(0, 0);
            let before = libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            libc::tcsetpgrp(0, libc::getpid());
            libc::signal(libc::SIGTTOU, before);
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(take_terminal) };
}

pub fn block_signals() -> Result<()> {
    // SAFETY: the set is initialised by sigfillset before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()).into()).map(drop)
    }
}

/// The next pending signal's number.
pub fn next_signal(signals: BorrowedFd<'_>) -> Option<i32> {
    let mut buffer = [0u8; size_of::<libc::signalfd_siginfo>()];
    let count = rustix::io::read(signals, &mut buffer).ok()?;
    (count == buffer.len()).then(|| i32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]))
}

/// Every signal to its default action (Rust ignores SIGPIPE, callers may ignore others), none blocked.
pub fn reset_signals() -> Result<()> {
    const SET_BYTES: usize = 8;
    // The kernel's struct sigaction, all zero: SIG_DFL, no flags. By the call itself, for the C library does not let its own two be reset, which its
    // posix_spawn leaves ignored.
    let default = [0_u64; 4];
    // SAFETY: SIG_DFL needs no handler; the set is initialised before it is used.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<c_void>(), SET_BYTES);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()).into()).map(drop)
    }
}

pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: plain call.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<c_void>(), 0) }).map(drop)
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BpfInstruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub k: u32,
}

/// With SECCOMP_FILTER_FLAG_NEW_LISTENER returns where those calls are told of that the filter leaves to somebody else.
pub fn set_seccomp_filter(flags: u64, program: &[BpfInstruction]) -> Result<Option<OwnedFd>> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const BpfInstruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { length, instructions: program.as_ptr() };
    // SAFETY: the program outlives the call, which copies it.
    let listener = check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })?;
    let is_new = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    // SAFETY: with that flag the kernel has just made this descriptor for us.
    Ok(is_new.then(|| unsafe { OwnedFd::from_raw_fd(listener as RawFd) }))
}

/// A call that a filter has left to us, of a process that waits.
pub struct Notification {
    pub id: u64,
    pub process: u32,
    pub number: u32,
    pub architecture: u32,
    pub arguments: [u64; 6],
}

/// Blocks until there is one.
pub fn receive_notification(listener: BorrowedFd<'_>) -> Result<Notification> {
    // SECCOMP_IOCTL_NOTIF_RECV
    const RECEIVE: libc::Ioctl = 0xC050_2100u32 as libc::Ioctl;
    // SAFETY: all-zero is valid, and what the kernel wants; the structure outlives the call.
    let mut received: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut received) }.into())?;
    let libc::seccomp_notif { id, pid, data, .. } = received;
    Ok(Notification { id, process: pid, number: data.nr as u32, architecture: data.arch, arguments: data.args })
}

/// As if it had never been left to anybody.
pub fn continue_call(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    // SECCOMP_IOCTL_NOTIF_SEND
    const SEND: libc::Ioctl = 0xC018_2101u32 as libc::Ioctl;
    let response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 };
    // SAFETY: the structure outlives the call.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const response) }.into()).map(drop)
}

/// struct bpf_insn: two registers in one byte, the target's number in its lower half.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EbpfInstruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub value: i32,
}

/// From <linux/bpf.h>: of `union bpf_attr` what BPF_PROG_LOAD reads.
#[repr(C)]
#[derive(Default)]
struct ProgramToLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// … and BPF_PROG_ATTACH.
#[repr(C)]
#[derive(Default)]
struct ProgramToAttach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// A program that is asked about devices.
pub fn load_device_program(program: &[EbpfInstruction]) -> Result<OwnedFd> {
    const BPF_PROG_LOAD: c_int = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let attributes = ProgramToLoad {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: program and license outlive the call, which copies them; the size is that of the structure.
    let fd = check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<ProgramToLoad>()) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Beside those of the cgroups above, all of which must agree.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    const BPF_PROG_ATTACH: c_int = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let attributes = ProgramToAttach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the structure has the size that is passed.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<ProgramToAttach>()) }).map(drop)
}

/// A session keyring of its own, so that the container cannot reach our user's keys.
pub fn join_new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<c_void>()) }).map(drop)
}

pub fn set_personality(persona: u64) -> Result<()> {
    // SAFETY: plain call.
    check(unsafe { libc::personality(persona) }.into()).map(drop)
}

/// struct sched_attr as its first version is (<linux/sched/types.h>).
#[repr(C)]
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct SchedulerAttributes {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

pub fn set_scheduler(process: Pid, attributes: SchedulerAttributes) -> Result<()> {
    let attributes = SchedulerAttributes { size: size_of::<SchedulerAttributes>() as u32, ..attributes };
    // SAFETY: the structure has the size that it says.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, process.as_raw_nonzero().get(), &raw const attributes, 0) }).map(drop)
}

/// Class and level in one number (<linux/ioprio.h>).
pub fn set_io_priority(process: Pid, priority: u16) -> Result<()> {
    const IOPRIO_WHO_PROCESS: c_int = 1;
    // SAFETY: plain call.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, process.as_raw_nonzero().get(), c_int::from(priority)) };
    check(result).map(drop)
}

/// The loopback interface of the current network namespace is down when the namespace is new.
pub fn bring_loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid; the kernel reads the name and the flags only.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request).into()).map(drop)
    }
}

/// From <linux/loop.h>.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The number of a loop device that was free a moment ago.
pub fn free_loop_device(control: BorrowedFd<'_>) -> Result<u32> {
    const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
    // SAFETY: takes no argument.
    check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into()).map(|number| number as u32)
}

/// Read-only, and gone with its last user.
pub fn configure_loop_device(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<()> {
    const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
    // SAFETY: all-zero is valid for these structures.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = file.as_raw_fd() as u32;
    config.info.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // SAFETY: the structure has the layout of <linux/loop.h> and outlives the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into()).map(drop)
}

/// A path as the C string that the kernel wants.
pub fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}

/// Makes 0, 1 and 2 this descriptor.
pub fn replace_stdio(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    for target in 0..3 {
        replace_descriptor(fd, target)?;
    }
    Ok(())
}

/// Makes `target` (one of 0, 1, 2) a copy of `fd`.
pub fn replace_descriptor(fd: RawFd, target: RawFd) -> Result<()> {
    // SAFETY: 0, 1 and 2 have no owner in this process.
    check(unsafe { libc::dup2(fd, target) }.into()).map(drop)
}
