//! `manifests`: the static pod and the encryption configuration, for the given flags. The files in `manifests/` are its
//! templates, so that they and the output cannot differ.

mod pod;

use std::path::{Path, PathBuf};

use crate::cli::{DEFAULT_LISTEN_ADDR, Flags, Manifests};
use crate::config::{
    ListenAddr, Problems, audit_log, check_key_name, check_key_version, check_vault_name, port, trim,
};
use pod::{Pod, scalar};

const POD: &str = include_str!("../../manifests/azure-kms-provider.yaml");
const V1: &str = include_str!("../../manifests/encryptionconfig.yaml");
const V2: &str = include_str!("../../manifests/encryptionconfig-v2.yaml");

/// The folder of certificates that the pod mounts as well.
const CERTIFICATES: &str = "/etc/ssl";

/// Returns the manifests as text, without the end of the last line.
///
/// # Errors
/// A flag is wrong, or one that no pod can have: the problems, one a line.
pub(crate) fn manifests(flags: &Manifests) -> Result<String, String> {
    let mut problems = Problems::default();
    check_names(&flags.daemon, &mut problems);
    let encryption = problems.flag("kms", encryption(&flags.kms));
    let selection = problems.flag("only", Selection::parse(&flags.only));
    let pod = pod(flags, &mut problems);
    let (Some(encryption), Some(selection), Some(pod), []) = (encryption, selection, pod, &problems.0[..])
    else {
        return Err(problems.to_string());
    };
    let encryption = || encryption.replace(DEFAULT_LISTEN_ADDR, &scalar(&flags.daemon.listen_addr));
    let text = match selection {
        Selection::Pod => pod.fill(POD),
        Selection::Encryption => encryption(),
        Selection::All => format!("{}---\n{}", pod.fill(POD), encryption()),
    };
    Ok(text.trim_end().to_owned())
}

/// The manifests that are printed.
enum Selection {
    Pod,
    Encryption,
    All,
}

impl Selection {
    /// Parses the value of `--only`.
    ///
    /// # Errors
    /// It is not pod, encryption or all.
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pod" => Ok(Self::Pod),
            "encryption" => Ok(Self::Encryption),
            "all" => Ok(Self::All),
            _ => Err(format!("{text:?} must be pod, encryption or all")),
        }
    }
}

/// Returns the EncryptionConfiguration for that version of the API.
///
/// # Errors
/// The version is neither v1 nor v2.
fn encryption(kms: &str) -> Result<&'static str, String> {
    match kms {
        "v1" => Ok(V1),
        "v2" => Ok(V2),
        _ => Err(format!("{kms:?} must be v1 or v2")),
    }
}

/// Checks the names that are given; the others stay `${…}`.
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

fn pod<'a>(manifests: &'a Manifests, problems: &mut Problems) -> Option<Pod<'a>> {
    let flags = &manifests.daemon;
    problems.flag("image", image_name(&manifests.image));
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
    let (image, port, given) = (&manifests.image, &flags.healthz_port, &manifests.given);
    Some(Pod { image, port, given, configuration, socket, audit_log })
}

/// Checks the characters of the name of an image.
///
/// # Errors
/// It is empty, or has a character that is not allowed in one.
fn image_name(image: &str) -> Result<(), String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"./:-_@".contains(&byte);
    if !image.is_empty() && image.bytes().all(is_known) {
        Ok(())
    } else {
        Err(format!("{image:?} is not the name of an image"))
    }
}

/// Returns the folder to mount for the socket; `None` for an abstract one.
///
/// # Errors
/// It is not the address of a socket, or the folder cannot be mounted.
fn socket_folder(address: &str) -> Result<Option<PathBuf>, String> {
    match ListenAddr::parse(address)? {
        ListenAddr::Path(path) => folder(&path).map(Some),
        ListenAddr::Abstract(_) => Ok(None),
    }
}

/// Returns the folder to mount for the audit log; `None` without one.
///
/// # Errors
/// It is not the absolute path of a file, or the folder cannot be mounted.
fn audit_folder(path: &str) -> Result<Option<PathBuf>, String> {
    audit_log(path)?.map(|file| folder(&file)).transpose()
}

/// Returns the file's folder, which is mounted so that a new file of that name is seen.
///
/// # Errors
/// It is the root, or relative.
fn folder(file: &Path) -> Result<PathBuf, String> {
    match file.parent() {
        Some(folder) if folder.is_absolute() && folder != Path::new("/") => Ok(folder.to_owned()),
        _ => Err(format!("{:?} must be in a folder of its own, which the pod mounts", file.display())),
    }
}
