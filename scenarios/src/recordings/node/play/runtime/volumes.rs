//! What pods mount: directories of the node, and keys of ConfigMaps and Secrets.

use seatrial_api::object::{Kind, Object};
use serde_json::Value;

use crate::recordings::node::play::Play;

/// Directories that every node has; nothing else is there.
const DIRECTORIES: [&str; 10] =
    ["/", "/tmp", "/etc", "/var", "/var/log", "/var/run", "/run", "/dev", "/proc", "/sys"];

impl Play<'_> {
    /// Why a volume of the pod cannot be mounted, if one cannot.
    pub(super) fn unmountable(&self, pod: u32) -> Option<String> {
        let volumes = self.manifests.get(&pod)?["spec"]["volumes"].as_array()?;
        let why = |volume: &Value| self.missing_key(volume).or_else(|| missing_directory(volume));
        volumes.iter().find_map(|volume| {
            let name = volume["name"].as_str().unwrap_or("");
            Some(format!("MountVolume.SetUp failed for volume \"{name}\" : {}", why(volume)?))
        })
    }

    /// A volume that lists keys needs all of them.
    fn missing_key(&self, volume: &Value) -> Option<String> {
        let (kind, source, name) = match (&volume["configMap"], &volume["secret"]) {
            (Value::Object(_), _) => (Kind::ConfigMap, &volume["configMap"], "name"),
            (_, Value::Object(_)) => (Kind::Secret, &volume["secret"], "secretName"),
            _ => return None,
        };
        if source["optional"] == true {
            return None;
        }
        let namespace = super::super::setup::namespace(self.scenario);
        let data = match self.server.find(kind, namespace, source[name].as_str()?)? {
            Object::ConfigMap(config) => &config.data,
            Object::Secret(secret) => &secret.data,
            _ => return None,
        };
        let keys = source["items"].as_array()?.iter().filter_map(|item| item["key"].as_str());
        let missing = keys.into_iter().find(|key| !data.iter().any(|entry| entry.0 == *key))?;
        Some(match kind {
            Kind::Secret => format!("references non-existent secret key: {missing}"),
            _ => format!("configmap references non-existent config key: {missing}"),
        })
    }
}

/// What a volume must be on the node and is not.
fn missing_directory(volume: &Value) -> Option<String> {
    let (path, kind) = (volume["hostPath"]["path"].as_str()?, volume["hostPath"]["type"].as_str()?);
    let what = match kind {
        "Directory" => "a directory",
        "File" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        _ => return None,
    };
    let is_there = kind == "Directory" && DIRECTORIES.contains(&path);
    (!is_there).then(|| format!("hostPath type check failed: {path} is not {what}"))
}
