//! What happens to the container, for `tbuild events`: a line of JSON each, appended to the store's log as every tbuild does it (docs/native.md,
//! "Events"). A line that cannot be written is lost: nothing waits for it.

use rustix::fs::{CWD, Mode, OFlags, open, renameat, stat};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Of two such files there is what happened lately.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
pub struct EventLog {
    path: PathBuf,
    /// Of the container: its name, its image, its labels.
    attributes: Map<String, Value>,
}

impl EventLog {
    pub fn note(&self, id: &str, action: &str, more: &[(&str, String)]) {
        let mut attributes = self.attributes.clone();
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string();
        let event = json!({ "type": "container", "action": action, "id": id, "attributes": attributes, "time": time });
        let _ = append(&self.path, &format!("{event}\n"));
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(line.as_bytes())?;
    let own = rustix::fs::fstat(&file)?;
    // Whoever finds it full puts it aside; who comes second finds another file there.
    if own.st_size as u64 > MAX_BYTES && stat(path)?.st_ino == own.st_ino {
        renameat(CWD, path, CWD, path.with_extension("1"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_full_log_is_put_aside_and_no_line_of_it_lost() {
        let directory = std::env::temp_dir().join(format!("tbuild-events-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("log");
        let attributes = Map::from_iter([("name".to_owned(), json!("web"))]);
        let log = EventLog { path: path.clone(), attributes };
        log.note("abc", "die", &[("exitCode", "3".to_owned())]);
        let line: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(line["action"], "die");
        assert_eq!(line["attributes"], json!({ "name": "web", "exitCode": "3" }));
        assert!(line["time"].as_str().unwrap().parse::<u128>().unwrap() > 1_000_000_000_000_000_000);
        fs::write(&path, vec![b'\n'; MAX_BYTES as usize]).unwrap();
        log.note("abc", "start", &[]);
        assert!(fs::read_to_string(directory.join("log.1")).unwrap().ends_with("}\n"));
        assert!(!path.exists());
        log.note("abc", "start", &[]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }
}
