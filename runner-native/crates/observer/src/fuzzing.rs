//! What the fuzz target calls: any bytes as a request about a gap. Only built by it.

use crate::connection::Connection;
use crate::protocol::{Answer, Request};

pub fn answer(connection: &Connection, bytes: &[u8]) {
    if let Some(request) = Request::parse(bytes) {
        let _ = connection.answer(&request, &mut Answer::default());
    }
}
