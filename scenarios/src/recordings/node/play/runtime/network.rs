//! What listens in a sandbox: the HTTP server of a container.

use seatrial_api::container::{HandlerAction, PortRef};
use seatrial_api::runtime::ContainerId;
use seatrial_api::units::Span;
use serde_json::{Value, json};

use super::script::code_at;
use crate::recordings::node::play::{Play, seconds, texts};

/// How a request went.
pub(super) struct Answer {
    /// Whether it counts as success.
    pub ok: bool,
    /// Whether it is a success with a warning.
    pub warning: bool,
    /// What there is to say of it.
    pub text: String,
}

impl Answer {
    fn failure(text: String) -> Answer {
        Answer { ok: false, warning: false, text }
    }

    fn success() -> Answer {
        Answer { ok: true, warning: false, text: String::new() }
    }
}

impl Play<'_> {
    /// Asks a container over the network, or waits; how long that takes, and how it goes.
    pub(super) fn request(
        &mut self,
        id: ContainerId,
        action: &HandlerAction,
        timeout: Option<Span>,
    ) -> (Span, Answer) {
        let (port, path) = match action {
            HandlerAction::Sleep(duration) => return (Span::from_secs(*duration), Answer::success()),
            HandlerAction::Exec(_) => return (Span::ZERO, Answer::success()),
            HandlerAction::HttpGet { port, path, .. } => (*port, Some(path.to_string())),
            HandlerAction::TcpSocket(port) => (*port, None),
            HandlerAction::Grpc { port, .. } => (PortRef::Number(*port), None),
        };
        let ip = self.kubelets.pod_address(id.pod).map_or(String::new(), texts::address);
        let port = self.port_number(id, port);
        let url = path.as_ref().map(|path| {
            let slash = if path.starts_with('/') { "" } else { "/" };
            let scheme =
                if matches!(action, HandlerAction::HttpGet { https: true, .. }) { "https" } else { "http" };
            format!("Get \"{scheme}://{ip}:{port}{slash}{path}\": ")
        });
        let is_grpc = matches!(action, HandlerAction::Grpc { .. });
        let Some((server, since)) = self.server_at(id, port) else {
            let refused = format!("dial tcp {ip}:{port}: connect: connection refused");
            let text = match url {
                Some(url) => format!("{url}{refused}"),
                None if is_grpc => format!(
                    "timeout: failed to connect service \"{ip}:{port}\" within {}s: context deadline exceeded",
                    timeout.map_or(1.0, |timeout| timeout.as_secs_f64())
                ),
                None => refused,
            };
            let took = timeout.filter(|_| is_grpc).unwrap_or(Span::ZERO);
            return (took, Answer::failure(text));
        };
        let (Some(url), Some(path)) = (url, path) else { return (Span::ZERO, Answer::success()) };
        self.answer_http(id, &server, since, &path, &url, timeout)
    }

    fn answer_http(
        &mut self,
        id: ContainerId,
        server: &Value,
        since: Span,
        path: &str,
        url: &str,
        timeout: Option<Span>,
    ) -> (Span, Answer) {
        let (code, delay) = (code_at(&server["codes"], since, 200), seconds(&server["delay"]));
        let (name, n) = (self.container_name(id), self.runtime.number(id));
        let cmd = format!("GET {path}");
        let line =
            json!({"call": "HTTP", "c": name, "n": n, "cmd": cmd, "code": code, "took": delay.as_secs_f64()});
        self.call(id.pod, line);
        if let Some(timeout) = timeout.filter(|timeout| delay >= *timeout) {
            let text =
                format!("{url}context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
            return (timeout, Answer::failure(text));
        }
        let ok = (200..400).contains(&code);
        let redirect = (300..400).contains(&code);
        let text = match (ok, redirect) {
            (false, _) => format!("HTTP probe failed with statuscode: {code}"),
            (true, true) => "Probe terminated redirects, Response body: ".to_owned(),
            (true, false) => String::new(),
        };
        (delay, Answer { ok, warning: redirect, text })
    }

    fn port_number(&self, id: ContainerId, port: PortRef) -> u16 {
        match port {
            PortRef::Number(number) => number,
            PortRef::Name(name) => {
                let ports = self.container_spec(id).map_or(&[][..], |container| &container.ports);
                ports.iter().find(|port| port.name == name).map_or(0, |port| port.container_port)
            }
        }
    }

    /// The server that listens at a port of the pod now, and how long its container has run.
    fn server_at(&self, id: ContainerId, port: u16) -> Option<(Value, Span)> {
        let count = self.specs.get(&id.pod)?.all_containers().count() as u16;
        (0..count).find_map(|index| {
            let instances = self.runtime.instances.range(
                ContainerId { pod: id.pod, index, attempt: 0 }..=ContainerId {
                    pod: id.pod,
                    index,
                    attempt: u16::MAX,
                },
            );
            let (&other, instance) = instances.into_iter().rev().find(|(_, instance)| instance.runs())?;
            let of_run = &self.script_of_run(other)["http"];
            let server = if of_run.is_null() { &self.script_of(other)["http"] } else { of_run };
            let since = self.now - instance.started;
            let listens = server["port"].as_u64() == Some(u64::from(port))
                && since >= seconds(&server["from"])
                && (server["until"].is_null() || since < seconds(&server["until"]));
            listens.then(|| (server.clone(), since))
        })
    }
}
