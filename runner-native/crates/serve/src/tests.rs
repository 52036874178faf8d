//! Whole conversations, as the other end of the pipe has them.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// A server on a thread of its own.
struct Client {
    to: Option<PipeWriter>,
    from: BufReader<PipeReader>,
    server: Option<JoinHandle<()>>,
}

impl Client {
    fn start() -> Self {
        let (server_in, to) = pipe().unwrap();
        let (from, server_out) = pipe().unwrap();
        let server = std::thread::spawn(move || crate::serve(BufReader::new(server_in), server_out, || true, &Value::Null).unwrap());
        Self { to: Some(to), from: BufReader::new(from), server: Some(server) }
    }

    fn send(&mut self, request: &Value) {
        self.to.as_mut().unwrap().write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.receive()
    }

    fn end(&mut self) {
        self.to = None;
        self.server.take().unwrap().join().unwrap();
    }
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("none")
}

#[test]
fn a_lease_is_dead_when_its_process_is() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join("tmp");
    std::fs::create_dir_all(tmp.join("killed/half-written")).unwrap();
    std::fs::write(tmp.join("killed/lock"), "").unwrap();
    std::fs::create_dir_all(tmp.join("killed-earlier")).unwrap();
    let (mut first, mut second) = (Client::start(), Client::start());
    let opened = first.ask(&json!({"id": 1, "op": "open", "root": dir.path()}));
    assert_eq!(opened["ok"]["dead"], 2);
    assert!(!tmp.join("killed").exists() && !tmp.join("killed-earlier").exists());
    let lease = opened["ok"]["dir"].as_str().unwrap().to_string();
    assert!(Path::new(&lease).is_dir());
    let other = second.ask(&json!({"id": 1, "op": "open", "root": dir.path()}));
    assert_ne!(other["ok"]["dir"], lease.as_str());
    assert!(Path::new(&lease).is_dir(), "the second process removed a living lease");
    assert_eq!(code(&first.ask(&json!({"id": 2, "op": "open", "root": dir.path()}))), "native/bad-request");
    assert_eq!(first.ask(&json!({"id": 3, "op": "close"})), json!({"id": 3, "ok": {}}));
    assert!(!Path::new(&lease).exists());
    first.end();
    // One that was not closed is what a killed process leaves.
    second.end();
    let mut third = Client::start();
    assert_eq!(third.ask(&json!({"id": 1, "op": "open", "root": dir.path()}))["ok"]["dead"], 1);
    third.end();
}

#[test]
fn locks_exclude_and_pass_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (mut first, mut second) = (Client::start(), Client::start());
    let held = first.ask(&json!({"id": 1, "op": "lock", "path": path, "wait": true}))["ok"]["lock"].as_u64().unwrap();
    assert_eq!(second.ask(&json!({"id": 1, "op": "lock", "path": path, "wait": false}))["ok"]["lock"], Value::Null);
    assert_eq!(second.ask(&json!({"id": 2, "op": "lock", "path": path, "wait": false, "shared": true}))["ok"]["lock"], Value::Null);
    second.send(&json!({"id": 3, "op": "lock", "path": path, "wait": true, "shared": true}));
    // A request that waits holds up nobody else.
    assert_eq!(code(&second.ask(&json!({"id": 4, "op": "unlock", "lock": 99}))), "native/bad-request");
    assert_eq!(first.ask(&json!({"id": 2, "op": "unlock", "lock": held})), json!({"id": 2, "ok": {}}));
    let passed = second.receive();
    assert_eq!((&passed["id"], passed["ok"]["lock"].is_u64()), (&json!(3), true));
    assert!(first.ask(&json!({"id": 3, "op": "lock", "path": path, "wait": false, "shared": true}))["ok"]["lock"].is_u64());
    // A lock that nobody gives back does not keep a process that has ended its requests.
    second.send(&json!({"id": 5, "op": "lock", "path": path, "wait": true}));
    second.end();
    first.end();
}

#[test]
fn requests_that_make_no_sense_are_answered() {
    let mut client = Client::start();
    for (request, id) in
        [("nonsense", Value::Null), ("{}", Value::Null), ("{\"id\":7,\"op\":\"fly\"}", json!(7)), ("{\"id\":8,\"op\":\"scan\"}", json!(8))]
    {
        client.to.as_mut().unwrap().write_all(format!("\n{request}\n").as_bytes()).unwrap();
        let answer = client.receive();
        assert_eq!((code(&answer), &answer["id"]), ("native/bad-request", &id), "{request}");
    }
    assert_eq!(code(&client.ask(&json!({"id": 9, "op": "remove", "path": "//"}))), "native/bad-request");
    client.end();
}

#[test]
fn a_layer_goes_all_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("context")).unwrap();
    std::fs::write(at("context/file"), "content").unwrap();
    let mut client = Client::start();
    let scan = client.ask(&json!({"id": 1, "op": "scan", "root": at("context"), "out": at("scan")}));
    assert_eq!((&scan["ok"]["entries"], &scan["ok"]["bytes"]), (&json!(2), &json!(7)));
    let entries = json!([{"path": "file", "type": "file", "mode": 0o644, "mtime": [1, 2], "source": 0, "at": "file", "size": 7}]);
    let request = json!({"id": 2, "op": "writeLayer", "driver": "erofs", "out": at("layer"), "sources": [{"root": at("context")}], "entries": entries});
    let layer = client.ask(&request)["ok"].clone();
    assert_eq!((&layer["entries"], &layer["data"], &layer["index"]), (&json!(2), &json!(at("layer.erofs")), &json!(at("layer.index"))));
    let tar = client
        .ask(&json!({"id": 3, "op": "tar", "index": layer["index"], "data": layer["data"], "out": at("tar"), "compression": "gzip"}))["ok"]
        .clone();
    assert_eq!(
        client.ask(&json!({"id": 4, "op": "sha256", "path": at("tar")}))["ok"],
        json!({"digest": tar["digest"], "size": tar["size"]})
    );
    let request =
        json!({"id": 5, "op": "unpack", "driver": "directory", "out": at("back"), "archive": at("tar"), "whiteouts": true, "split": true});
    let back = client.ask(&request)["ok"].clone();
    assert_eq!((&back["diffId"], &back["blobDigest"], &back["blobSize"]), (&tar["diffId"], &tar["digest"], &tar["size"]));
    assert_eq!((&back["split"], &back["data"]), (&json!(at("back.split")), &json!(at("back/root"))));
    assert_eq!(client.ask(&json!({"id": 6, "op": "verify", "index": back["index"], "data": back["data"]}))["ok"], json!({"problems": []}));
    let packed =
        client.ask(&json!({"id": 7, "op": "packDir", "driver": "erofs", "out": at("packed"), "dir": at("context"), "overlay": false}));
    assert_eq!(packed["ok"]["bytes"], 7);
    assert_eq!(client.ask(&json!({"id": 8, "op": "remove", "path": back["data"]})), json!({"id": 8, "ok": {}}));
    assert!(!at("back/root").exists());
    std::fs::write(at("context/file"), "changed").unwrap();
    let missing = client.ask(&json!({"id": 9, "op": "tar", "index": at("none"), "data": layer["data"], "compression": "none"}));
    assert_eq!(
        missing["error"],
        json!({"code": "native/io", "op": "read", "path": at("none"), "errno": "ENOENT", "detail": "no such file or directory"})
    );
    client.end();
}

#[test]
fn a_fifo_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let mut client = Client::start();
    assert_eq!(client.ask(&json!({"id": 1, "op": "fifo", "path": path}))["ok"], json!({}));
    let made = std::fs::symlink_metadata(&path).unwrap();
    assert!(made.file_type().is_fifo());
    assert_eq!(made.permissions().mode() & 0o077, 0);
    assert_eq!(client.ask(&json!({"id": 2, "op": "fifo", "path": path}))["error"]["errno"], "EEXIST");
    client.end();
}
