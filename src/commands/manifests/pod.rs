//! The static pod: its template, line by line, with the values replaced.

use std::path::PathBuf;

/// The part of the first line that is true while there are names to fill in.
const TO_FILL_IN: &str = ", with the three ${…} replaced";

/// The values that differ from the template.
pub(super) struct Pod<'a> {
    pub(super) image: &'a str,
    /// The value of `--healthz-port`.
    pub(super) port: &'a str,
    /// The daemon's flags as given, `--name=value` each.
    pub(super) given: &'a [String],
    /// The folder of azure.json.
    pub(super) configuration: PathBuf,
    /// The socket's folder.
    pub(super) socket: Option<PathBuf>,
    /// The audit log's folder, unless it is in the socket's.
    pub(super) audit_log: Option<PathBuf>,
}

impl Pod<'_> {
    /// Fills the template.
    pub(super) fn fill(&self, template: &str) -> String {
        let others = self.others(template);
        let mut text = String::new();
        for line in template.lines() {
            if line.trim() == "- -v=1" {
                others.iter().for_each(|flag| text.push_str(&format!("        - {flag}\n")));
            }
            text.push_str(&self.line(line));
            text.push('\n');
            text.push_str(&self.beneath(line.trim()));
        }
        let is_filled = !text.contains("=${");
        if is_filled { text.replace(TO_FILL_IN, "") } else { text }
    }

    /// Returns the mount and the volume of the audit log, for the lines of the socket's. kubelet makes a missing folder.
    fn beneath(&self, line: &str) -> String {
        let Some(folder) = &self.audit_log else { return String::new() };
        let folder = scalar(&folder.display().to_string());
        match line {
            "mountPath: /opt" => format!("        - name: audit-log\n          mountPath: {folder}\n"),
            "path: /opt" => {
                let volume = "    - name: audit-log\n      hostPath:\n";
                format!("{volume}        path: {folder}\n        type: DirectoryOrCreate\n")
            }
            _ => String::new(),
        }
    }

    /// Puts this pod's value into the line. Its comment stays in its column, if there is room.
    fn line(&self, line: &str) -> String {
        let (code, comment) =
            line.split_once(" #").map_or((line, None), |(code, comment)| (code, Some(comment)));
        let text = code.trim();
        let Some(new) = self.replacement(text) else { return line.to_owned() };
        let new = code.trim_end().replacen(text, &new, 1);
        comment.map_or(new.clone(), |comment| format!("{new:<width$} #{comment}", width = code.len()))
    }

    fn replacement(&self, text: &str) -> Option<String> {
        let (key, value) = text.split_once(": ").unwrap_or((text, ""));
        let folder = |folder: &PathBuf| Some(format!("{key}: {}", scalar(&folder.display().to_string())));
        match (key, value) {
            ("image", _) => Some(format!("image: {}", self.image)),
            ("- containerPort" | "port", _) => Some(format!("{key}: {}", self.port)),
            ("host", _) => self.bound().map(|address| format!("host: {}", scalar(address))),
            ("mountPath" | "path", "/etc/kubernetes") => folder(&self.configuration),
            ("mountPath" | "path", "/opt") => self.socket.as_ref().and_then(folder),
            _ => self.flag(name(text.strip_prefix("- ")?)?),
        }
    }

    /// Returns the address that is bound, unless all are, which includes the template's.
    fn bound(&self) -> Option<&str> {
        let flag = self.given.iter().rev().find(|flag| name(flag) == Some("bind-address"))?;
        let address = flag.split_once('=')?.1;
        (!["::", "0.0.0.0"].contains(&address)).then_some(address)
    }

    /// Finds that flag as it was given last, which is the one that counts.
    fn flag(&self, wanted: &str) -> Option<String> {
        let flag = self.given.iter().rev().find(|flag| name(flag) == Some(wanted))?;
        Some(format!("- {}", argument(flag)))
    }

    /// Lists the flags that the template does not have.
    fn others(&self, template: &str) -> Vec<String> {
        let known: Vec<_> =
            template.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter_map(name).collect();
        let others = self.given.iter().filter(|flag| name(flag).is_some_and(|name| !known.contains(&name)));
        others.map(|flag| argument(flag)).collect()
    }
}

/// Returns the name in `--name=value`.
fn name(flag: &str) -> Option<&str> {
    flag.strip_prefix('-')?.split('=').next().map(|name| name.trim_start_matches('-'))
}

/// Writes the flag as an argument of a container, where kubelet takes `$(NAME)` for a variable.
fn argument(flag: &str) -> String {
    let flag = if flag.starts_with("--v=") { &flag[1..] } else { flag };
    scalar(&flag.replace("$(", "$$("))
}

/// Writes the text in YAML: in quotes if anything in it has a meaning there.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,${}*".contains(c);
    let is_plain = text.chars().all(is_plain) && !text.ends_with(':');
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
