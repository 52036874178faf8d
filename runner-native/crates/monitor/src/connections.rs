//! Those who are connected to the monitor: asking, waiting for an answer, or attached to the container's streams.

use crate::control::Request;
use crate::outbox::Outbox;
use crate::packets::{Kind, Packets};
use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tbuild_runtime::error::NativeError;

pub struct Connection {
    pub packets: Packets,
    pub role: Role,
    pub outbox: Outbox,
    is_gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Has not asked yet.
    New,
    /// To be told when the container runs.
    AwaitsStart,
    /// To be told when it has ended.
    AwaitsEnd,
    Attached(Attached),
    /// Has had its answer.
    Answered,
}

/// Which of the container's streams somebody wants.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    pub streams: Streams,
    /// The container's input ends with this one's.
    pub is_only_input: bool,
}

impl Connection {
    pub fn new(packets: Packets, role: Role) -> Self {
        Self { packets, role, outbox: Outbox::default(), is_gone: false }
    }

    pub fn send(&mut self, kind: Kind, bytes: &[u8]) {
        self.outbox.push(&self.packets, kind, bytes);
    }

    pub fn answer(&mut self, answer: &Value) {
        self.send(Kind::Answer, answer.to_string().as_bytes());
        self.role = Role::Answered;
    }

    pub fn fail(&mut self, error: &NativeError) {
        self.send(Kind::Failed, &serde_json::to_vec(error).unwrap_or_default());
        self.role = Role::Answered;
    }

    pub fn say_ended(&mut self, exit_code: i32) {
        self.answer(&json!({ "exitCode": exit_code }));
    }

    pub fn leave(&mut self) {
        self.is_gone = true;
    }

    /// Nothing is to be said or heard any more.
    pub fn is_over(&self) -> bool {
        self.is_gone || self.outbox.is_broken() || (self.role == Role::Answered && self.outbox.is_empty())
    }

    pub fn attached(&self) -> Option<Attached> {
        if let Role::Attached(attached) = self.role { Some(attached) } else { None }
    }

    /// `takes_input`: what is typed has somewhere to go.
    pub fn wants(&self, takes_input: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, !self.outbox.is_empty());
        flags.set(PollFlags::IN, self.attached().is_none_or(|attached| !attached.streams.stdin || takes_input));
        flags
    }
}

/// What is done at once with a request, or by whom it is answered later.
pub fn role_after(request: &Request) -> Role {
    match request {
        Request::Stop { .. } | Request::Wait => Role::AwaitsEnd,
        Request::Restart { .. } => Role::AwaitsStart,
        Request::Attach(streams) => Role::Attached(Attached { streams: *streams, is_only_input: false }),
        _ => Role::New,
    }
}
