//! The part of the configuration that can change under a running daemon: the credential, and the way to Azure. Read from
//! files, as often as asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::azure_json::{CLOUD, Fields};
use super::cloud::{self, Cloud};
use super::credential::{self, CredentialConfig};
use super::files;
use super::network::{self, CaFile, NetworkConfig};
use super::problems::Problems;

/// A lookup of a variable of the environment.
pub(crate) type Env = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The SHA-256 hashes of files; `None` for one that cannot be read.
pub(crate) type Contents = Vec<Option<[u8; 32]>>;

/// A credential, and the way to Azure with it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The cloud.
    pub cloud: Cloud,
    /// The credential.
    pub credential: CredentialConfig,
    /// The way to Azure.
    pub network: NetworkConfig,
    /// The hashes of the files that it was read from, taken just before the reading.
    pub contents: Contents,
}

#[cfg(any(test, feature = "benchmark"))]
impl Access {
    /// Returns the access of the machine's identity in the public cloud.
    pub(crate) fn of_this_machine() -> Self {
        let credential = CredentialConfig::ManagedIdentity(credential::ManagedIdentity::SystemAssigned);
        let (network, contents) = (NetworkConfig::default(), Contents::new());
        Self { cloud: Cloud::public(), credential, network, contents }
    }
}

#[cfg(test)]
impl Access {
    /// Reads such a file, without any flag.
    pub(crate) fn of_azure_json(json: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config_file = folder.path().join("azure.json");
        std::fs::write(&config_file, json).unwrap();
        let (ca_files, network) = (Vec::new(), NetworkConfig::default());
        AccessSource { config_file, ca_files, network, env: Arc::new(|_| None) }.load().unwrap()
    }
}

/// The source of an [`Access`].
#[derive(Clone)]
pub(crate) struct AccessSource {
    /// `azure.json`.
    pub config_file: PathBuf,
    /// The files of `--ca-file`.
    pub ca_files: Vec<String>,
    /// The part that does not change: redirected hosts, IMDS, the proxy.
    pub network: NetworkConfig,
    /// The environment.
    pub env: Arc<Env>,
}

impl fmt::Debug for AccessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessSource").field("config_file", &self.config_file).finish_non_exhaustive()
    }
}

impl AccessSource {
    /// Reads every file. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or holds no usable credential, cloud or certificate: every problem there is.
    pub(crate) fn load(&self) -> Result<Access, Problems> {
        // The first reading says which files there are. They are hashed before the second, so that a change in between
        // is seen as one later.
        let files = self.files(&self.read()?);
        let contents = hashes(&files);
        Ok(Access { contents, ..self.read()? })
    }

    /// Hashes the files of that access as they are now. Blocks.
    pub(crate) fn contents(&self, access: &Access) -> Contents {
        hashes(&self.files(access))
    }

    /// Reads the files, without their hashes.
    ///
    /// # Errors
    /// A file is missing, or its content is wrong: all problems together.
    fn read(&self) -> Result<Access, Problems> {
        let mut problems = Problems::default();
        let ca_files = self.ca_files(&mut problems);
        let chosen = self.credential(&mut problems);
        match (ca_files, chosen) {
            (Some(ca_files), Some((cloud, credential))) if problems.0.is_empty() => {
                let network = NetworkConfig { ca_files, ..self.network.clone() };
                Ok(Access { cloud, credential, network, contents: Contents::new() })
            }
            _ => Err(problems),
        }
    }

    fn ca_files(&self, problems: &mut Problems) -> Option<Vec<CaFile>> {
        let read: Vec<_> =
            self.ca_files.iter().map(|path| problems.flag("ca-file", network::ca_file(path))).collect();
        read.into_iter().collect()
    }

    fn credential(&self, problems: &mut Problems) -> Option<(Cloud, CredentialConfig)> {
        let named = |problem: String| format!("--config-file-path {}: {problem}", self.config_file.display());
        let fields = problems.note(Fields::load(&self.config_file).map_err(named))?;
        let cloud = cloud::find(&fields.cloud, &*self.env);
        let cloud = problems.note(cloud.map_err(|problem| named(format!("the field {CLOUD}: {problem}"))));
        // without a cloud the credential is still checked, so that all problems are reported at once
        let assumed = cloud.clone().unwrap_or_else(Cloud::public);
        let chosen = credential::choose(&fields, &assumed, &*self.env);
        let chosen = chosen.map_err(|found| problems.0.extend(found.into_iter().map(named))).ok();
        cloud.zip(chosen)
    }

    /// Lists the files to watch: those that the flags name, and those that `azure.json` names.
    pub(crate) fn files(&self, access: &Access) -> Vec<PathBuf> {
        let mut files = vec![self.config_file.clone()];
        files.extend(self.ca_files.iter().map(PathBuf::from));
        files.extend(access.credential.file().map(PathBuf::from));
        files
    }

    /// Lists those of them that hold a secret.
    pub(crate) fn private_files(&self, access: &Access) -> Vec<PathBuf> {
        let mut files = vec![self.config_file.clone()];
        files.extend(access.credential.file().map(PathBuf::from));
        files
    }
}

fn hashes(files: &[PathBuf]) -> Contents {
    let hash = |content: &[u8]| digest(&SHA256, content).as_ref().try_into().ok();
    files.iter().map(|file| hash(&files::read(file).ok()?)).collect()
}
