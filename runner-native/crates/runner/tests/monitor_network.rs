//! Networks of kept containers, by netavark: made before the container's command runs, taken down when it has ended, however that is. Each test has a
//! bridge and a subnet of its own, and leaves neither rules nor links. netavark is installed by setup/setup.sh.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use support::eventually;
use support::kept::Container;

const INIT: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

struct Networked {
    container: Container,
    number: u8,
    port: u16,
}

fn netavark() -> PathBuf {
    let places = ["/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman"].map(|place| PathBuf::from(place).join("netavark"));
    places.into_iter().find(|path| path.exists()).expect("netavark is installed by setup/setup.sh")
}

fn output(command: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(command).args(arguments).output().unwrap().stdout).unwrap()
}

impl Networked {
    /// Tests run in processes of their own at the same time: so the number has a part of the process's.
    fn new(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = (std::process::id() % 20) as u8 * 10 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut networked = Self { container: Container::new(script), number, port };
        let mut options = networked.options("a", 0, "eth0");
        options["port_mappings"] = json!([{ "host_ip": "", "host_port": port, "container_port": 80, "range": 1, "protocol": "tcp" }]);
        let directory = networked.container.fixture.path("networks");
        fs::create_dir(&directory).unwrap();
        networked.container.spec["network"] = json!({ "command": netavark(), "directory": directory, "options": options });
        change(&mut networked.container.spec);
        let namespaces = networked.container.fixture.config()["linux"]["namespaces"].as_array_mut().unwrap();
        if !namespaces.iter().any(|namespace| namespace["type"] == "network") {
            namespaces.push(json!({ "type": "network" }));
        }
        networked
    }

    fn bridge(&self, name: &str) -> String {
        format!("tbx{}{name}", self.number)
    }

    /// Of one network, on the subnet 10.`231 + further`.NUMBER.0/24, in netavark's words.
    fn options(&self, name: &str, further: u8, interface: &str) -> Value {
        let network = self.bridge(name);
        let subnet = format!("10.{}.{}", 231 + further, self.number);
        let mut options =
            json!({ "container_id": format!("test{}", self.number), "container_name": "test", "networks": {}, "network_info": {} });
        options["networks"][&network] = json!({ "interface_name": interface, "static_ips": [format!("{subnet}.5")], "aliases": ["web"] });
        options["network_info"][&network] = json!({
            "name": network, "id": format!("{:064x}", self.number), "driver": "bridge", "network_interface": network, "internal": false,
            "ipv6_enabled": false, "dns_enabled": false, "subnets": [{ "subnet": format!("{subnet}.0/24"), "gateway": format!("{subnet}.1") }],
            "ipam_options": { "driver": "host-local" },
        });
        options
    }

    /// Links and rules that are ours.
    fn traces(&self) -> Vec<String> {
        let all = output("ip", &["-o", "link"]) + &output("iptables-save", &[]);
        let subnets = [231, 232].map(|first| format!("10.{first}.{}.", self.number));
        let is_ours = |line: &&str| line.contains(&self.bridge("")) || subnets.iter().any(|subnet| line.contains(subnet));
        all.lines().filter(is_ours).map(str::to_owned).collect()
    }

    fn holds_nothing(&self) -> bool {
        self.traces().is_empty()
            && std::net::TcpListener::bind(("0.0.0.0", self.port)).is_ok()
            && !self.container.path("network.json").exists()
    }
}

impl Drop for Networked {
    fn drop(&mut self) {
        if self.container.is_locked() {
            self.container.stop();
        }
        let _ = self.container.command("clean", &[]).output();
    }
}

#[test]
fn it_is_there_before_the_command_runs_and_gone_after_it() {
    let networked = Networked::new("ip -o addr show eth0; ip route; cat /sys/class/net/lo/operstate", |_| {});
    networked.container.start();
    eventually("it has ended", || !networked.container.is_locked());
    let log = networked.container.log();
    assert!(log.contains(&format!("10.231.{}.5/24", networked.number)) && log.contains("default via"), "{log}");
    assert!(networked.holds_nothing(), "{:?}", networked.traces());
    assert_eq!(networked.container.state()["network"], Value::Null);
}

#[test]
fn a_published_port_leads_into_it_and_is_nobody_elses() {
    let networked = Networked::new(&format!("mkdir /www; echo page >/www/index.html; httpd -p 80 -h /www; {INIT}"), |_| {});
    networked.container.start();
    let answer = &networked.container.state()["network"][networked.bridge("a")];
    assert_eq!(answer["interfaces"]["eth0"]["subnets"][0]["ipnet"], format!("10.231.{}.5/24", networked.number), "{answer}");
    eventually("the page is there", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", networked.port)) else { return false };
        let mut page = String::new();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && stream.read_to_string(&mut page).is_ok() && page.ends_with("page\n")
    });
    assert!(std::net::TcpListener::bind(("0.0.0.0", networked.port)).is_err());

    let mut other = Networked::new(INIT, |_| {});
    other.container.spec["network"]["options"]["port_mappings"][0]["host_port"] = json!(networked.port);
    let failed = other.container.start_command(&[]).output().unwrap();
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((failed.status.code(), error["code"].as_str()), (Some(125), Some("network/port-in-use")), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("port is already allocated"));
    assert!(other.traces().is_empty(), "{:?}", other.traces());

    networked.container.stop();
    eventually("it has ended", || !networked.container.is_locked());
    assert!(networked.holds_nothing(), "{:?}", networked.traces());
}

#[test]
fn it_is_made_anew_at_each_restart() {
    let networked = Networked::new(INIT, |_| {});
    networked.container.start();
    let mac = |container: &Container| {
        let network = container.state()["network"].clone();
        network.as_object().and_then(|all| all.values().next()).map(|network| network["interfaces"]["eth0"]["mac_address"].clone())
    };
    let first = mac(&networked.container);
    networked.container.ask(json!({ "op": "restart" }));
    assert!(mac(&networked.container).is_some_and(|now| Some(now) != first));
    networked.container.stop();
    eventually("nothing is left", || networked.holds_nothing());
}

#[test]
fn networks_come_and_go_while_it_runs() {
    let networked = Networked::new(INIT, |_| {});
    networked.container.start();
    let second = networked.options("b", 1, "eth1");
    let answer = networked.container.ask(json!({ "op": "netconnect", "options": second }));
    assert!(answer[networked.bridge("a")].is_object() && answer[networked.bridge("b")].is_object(), "{answer}");
    assert_eq!(networked.container.state()["network"], answer);
    let addresses = || networked.container.execute(&["ip", "-o", "addr"]);
    assert!(addresses().contains(&format!("10.232.{}.5/24", networked.number)));
    let refusal = networked.container.refusal(json!({ "op": "netconnect", "options": second }));
    assert_eq!(refusal["code"], "network/setup", "{refusal}");
    assert!(addresses().contains(&format!("10.232.{}.5/24", networked.number)), "what was there stays");
    let answer = networked.container.ask(json!({ "op": "netdisconnect", "options": second }));
    assert!(answer[networked.bridge("b")].is_null() && !addresses().contains("eth1"), "{answer}");
    networked.container.ask(json!({ "op": "netconnect", "options": second }));
    networked.container.stop();
    eventually("nothing is left", || networked.holds_nothing());
}

#[test]
fn what_a_killed_monitor_leaves_is_cleaned_up() {
    let networked = Networked::new(INIT, |_| {});
    networked.container.start();
    networked.container.ask(json!({ "op": "netconnect", "options": networked.options("b", 1, "eth1") }));
    rustix::process::kill_process(networked.container.pid("monitorPid"), Signal::KILL).unwrap();
    eventually("it is gone", || !networked.container.is_locked());
    assert!(!networked.traces().is_empty());
    let cleaned = networked.container.command("clean", &[]).output().unwrap();
    assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
    assert!(networked.holds_nothing(), "{:?}", networked.traces());
    assert_eq!(networked.container.state()["exitCode"], 137);
    networked.container.start();
    networked.container.stop();
    eventually("nothing is left", || networked.holds_nothing());
}

#[test]
fn what_netavark_cannot_do_is_said_in_its_words() {
    let networked = Networked::new(INIT, |spec| {
        let info = spec["network"]["options"]["network_info"].as_object_mut().unwrap();
        info.values_mut().for_each(|network| network["driver"] = json!("unheard-of"));
    });
    let failed = networked.container.start_command(&[]).output().unwrap();
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((failed.status.code(), error["code"].as_str()), (Some(125), Some("network/setup")), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("unheard-of"), "{error}");
    assert_eq!(networked.container.status(), "exited");

    let networked = Networked::new(INIT, |spec| spec["network"]["command"] = json!("/nowhere/netavark"));
    let failed = networked.container.start_command(&[]).output().unwrap();
    assert!(String::from_utf8_lossy(&failed.stderr).contains("cannot start /nowhere/netavark"));

    // The host's own is never touched.
    let mut networked = Networked::new(INIT, |_| {});
    networked.container.fixture.config()["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
    let failed = networked.container.start_command(&[]).output().unwrap();
    assert!(String::from_utf8_lossy(&failed.stderr).contains("no network namespace of its own"));
    assert!(networked.traces().is_empty());
}

#[test]
fn what_a_killed_netavark_has_begun_is_taken_back() {
    let networked = Networked::new(INIT, |_| {});
    let once = networked.container.path("netavark");
    let done = networked.container.path("was-killed");
    let script = "#!/bin/sh\n[ -e DONE ] && exec NETAVARK \"$@\"\n>DONE\nNETAVARK \"$@\"\nkill -9 $$\n";
    fs::write(&once, script.replace("DONE", done.to_str().unwrap()).replace("NETAVARK", netavark().to_str().unwrap())).unwrap();
    fs::set_permissions(&once, fs::Permissions::from_mode(0o755)).unwrap();
    let mut networked = networked;
    networked.container.spec["network"]["command"] = json!(once);
    let failed = networked.container.start_command(&[]).output().unwrap();
    assert!(String::from_utf8_lossy(&failed.stderr).contains("it was killed"), "{}", String::from_utf8_lossy(&failed.stderr));
    assert!(networked.holds_nothing(), "{:?}", networked.traces());
    networked.container.start();
    networked.container.stop();
    eventually("nothing is left", || networked.holds_nothing());
}

#[test]
fn another_runtime_s_container_has_it_too() {
    for name in ["crun", "runc"].into_iter().filter(|name| Command::new(name).arg("--version").output().is_ok()) {
        let mut networked = Networked::new(INIT, |_| {});
        networked.container = std::mem::replace(&mut networked.container, Container::new("")).under(name);
        networked.container.start();
        let address = format!("10.231.{}.5/24", networked.number);
        eventually("it has its address", || networked.container.execute(&["ip", "-o", "addr"]).contains(&address));
        networked.container.stop();
        eventually("nothing is left", || networked.holds_nothing());
    }
}
