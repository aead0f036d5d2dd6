//! `manifests`: what goes to a node, for the given flags. The files in `manifests/` are its templates, so that what they
//! hold and what it prints cannot differ.

mod pod;

use std::path::{Path, PathBuf};

use crate::cli::{Flags, Manifests};
use crate::config::{
    ListenAddr, Problems, audit_log, check_key_name, check_key_version, check_vault_name, port, trim,
};
use pod::{Pod, scalar};

const POD: &str = include_str!("../../manifests/azure-kms-provider.yaml");
const V1: &str = include_str!("../../manifests/encryptionconfig.yaml");
const V2: &str = include_str!("../../manifests/encryptionconfig-v2.yaml");

/// Where the templates have the socket.
const SOCKET: &str = "unix:///opt/azurekms.socket";
/// The folder of certificates that the pod mounts as well.
const CERTIFICATES: &str = "/etc/ssl";

/// The manifests as text, without the last line's end.
///
/// # Errors
/// Every flag that is wrong, or that no pod can have, one a line.
pub(crate) fn manifests(asked: &Manifests) -> Result<String, String> {
    let mut problems = Problems::default();
    check_names(&asked.daemon, &mut problems);
    let encryption = problems.flag("kms", encryption(&asked.kms));
    let what = problems.flag("only", What::parse(&asked.only));
    let pod = pod(asked, &mut problems);
    let (Some(encryption), Some(what), Some(pod), []) = (encryption, what, pod, &problems.0[..]) else {
        return Err(problems.to_string());
    };
    let encryption = || encryption.replace(SOCKET, &scalar(&asked.daemon.listen_addr));
    let text = match what {
        What::Pod => pod.fill(POD),
        What::Encryption => encryption(),
        What::All => format!("{}---\n{}", pod.fill(POD), encryption()),
    };
    Ok(text.trim_end().to_owned())
}

/// What is printed.
enum What {
    Pod,
    Encryption,
    All,
}

impl What {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pod" => Ok(Self::Pod),
            "encryption" => Ok(Self::Encryption),
            "all" => Ok(Self::All),
            _ => Err(format!("{text:?} must be pod, encryption or all")),
        }
    }
}

fn encryption(kms: &str) -> Result<&'static str, String> {
    match kms {
        "v1" => Ok(V1),
        "v2" => Ok(V2),
        _ => Err(format!("{kms:?} must be v1 or v2")),
    }
}

/// Those that are given: the others stay `${…}`.
fn check_names(flags: &Flags, problems: &mut Problems) {
    let mut check = |flag, value: &str, check: fn(&str) -> Result<(), String>| {
        if !value.is_empty() {
            problems.flag(flag, check(trim(value)));
        }
    };
    check("keyvault-name", &flags.keyvault_name, check_vault_name);
    check("key-name", &flags.key_name, check_key_name);
    check("key-version", &flags.key_version, check_key_version);
}

fn pod<'a>(asked: &'a Manifests, problems: &mut Problems) -> Option<Pod<'a>> {
    let flags = &asked.daemon;
    problems.flag("image", image_name(&asked.image));
    problems.flag("healthz-port", port(&flags.healthz_port));
    let configuration = problems.flag("config-file-path", folder(Path::new(&flags.config_file_path)));
    let socket = problems.flag("listen-addr", socket_folder(&flags.listen_addr));
    let (configuration, socket) = (configuration?, socket?);
    let read_only = [&configuration, Path::new(CERTIFICATES)];
    if socket.as_ref().is_some_and(|socket| read_only.contains(&socket.as_path())) {
        problems.0.push("--listen-addr: the pod mounts that folder for reading only".to_owned());
    }
    for file in &flags.ca_file {
        if !read_only.iter().any(|folder| Path::new(file).starts_with(folder)) {
            let folders = read_only.map(|folder| folder.display().to_string()).join(" or ");
            problems.0.push(format!("--ca-file: {file:?} is not in the pod: put it below {folders}"));
        }
    }
    let audit_log = problems.flag("audit-log", audit_folder(&flags.audit_log))?;
    if audit_log.as_ref().is_some_and(|folder| read_only.contains(&folder.as_path())) {
        problems.0.push("--audit-log: the pod mounts that folder for reading only".to_owned());
    }
    // one mount is enough for both
    let audit_log =
        audit_log.filter(|folder| !socket.as_ref().is_some_and(|socket| folder.starts_with(socket)));
    let (image, port, given) = (&asked.image, &flags.healthz_port, &asked.given);
    Some(Pod { image, port, given, configuration, socket, audit_log })
}

fn image_name(image: &str) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"./:-_@".contains(&byte);
    if !image.is_empty() && image.bytes().all(known) {
        Ok(())
    } else {
        Err(format!("{image:?} is not the name of an image"))
    }
}

/// The folder that is to be mounted; none for an abstract socket, which needs none.
fn socket_folder(address: &str) -> Result<Option<PathBuf>, String> {
    match ListenAddr::parse(address)? {
        ListenAddr::Path(path) => folder(&path).map(Some),
        ListenAddr::Abstract(_) => Ok(None),
    }
}

/// The folder that is to be mounted for the audit log, if there is to be one.
fn audit_folder(path: &str) -> Result<Option<PathBuf>, String> {
    audit_log(path)?.map(|file| folder(&file)).transpose()
}

/// The file's folder: what is mounted, so that a new file of that name is seen.
fn folder(file: &Path) -> Result<PathBuf, String> {
    match file.parent() {
        Some(folder) if folder.is_absolute() && folder != Path::new("/") => Ok(folder.to_owned()),
        _ => Err(format!("{:?} must be in a folder of its own, which the pod mounts", file.display())),
    }
}
