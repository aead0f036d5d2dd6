//! What Entra ID has registered for the application: secrets, certificates and federated credentials.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::certificate::Certificate;

/// Changes to the application's credentials. What is there replaces all of its kind; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Application {
    /// Secrets, all of which are good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secrets: Option<Vec<ClientSecret>>,
    /// Certificates with RSA keys, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Vec<String>>,
    /// Whose tokens are good as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federated: Option<Vec<Federated>>,
}

/// A secret: in JSON a text, or an object that says when it ends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SecretForm")]
pub struct ClientSecret {
    /// The secret.
    pub value: String,
    /// When it ends, in Unix seconds; never if it is absent.
    pub expires: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SecretForm {
    Plain(String),
    Ending(EndingSecret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndingSecret {
    value: String,
    #[serde(default)]
    expires: Option<u64>,
}

impl From<SecretForm> for ClientSecret {
    fn from(form: SecretForm) -> Self {
        match form {
            SecretForm::Plain(value) => Self { value, expires: None },
            SecretForm::Ending(EndingSecret { value, expires }) => Self { value, expires },
        }
    }
}

impl From<&str> for ClientSecret {
    fn from(value: &str) -> Self {
        Self { value: value.into(), expires: None }
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A federated credential: the tokens that are good. All three are compared in their letter case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// Who issues them.
    pub issuer: String,
    /// Whom they name.
    pub subject: String,
    /// What they are for.
    pub audience: String,
}

/// What is registered now.
#[derive(Clone)]
pub(crate) struct Registered {
    pub secrets: Vec<ClientSecret>,
    pub certificates: Vec<Certificate>,
    pub federated: Vec<Federated>,
}

impl Registered {
    pub(crate) fn with_secret(secret: &str) -> Self {
        Self { secrets: vec![secret.into()], certificates: Vec::new(), federated: Vec::new() }
    }

    /// What is registered after the changes.
    ///
    /// # Errors
    /// The certificate that is none, and why.
    pub(crate) fn changed(&self, changes: Application) -> Result<Self, Error> {
        let Application { client_secrets, certificates, federated } = changes;
        Ok(Self {
            secrets: client_secrets.unwrap_or_else(|| self.secrets.clone()),
            certificates: match certificates {
                Some(pems) => read_all(pems)?,
                None => self.certificates.clone(),
            },
            federated: federated.unwrap_or_else(|| self.federated.clone()),
        })
    }

    /// The same in the form of changes to nothing.
    pub(crate) fn to_changes(&self) -> Application {
        let pems = self.certificates.iter().map(|certificate| certificate.pem.clone());
        Application {
            client_secrets: Some(self.secrets.clone()),
            certificates: Some(pems.collect()),
            federated: Some(self.federated.clone()),
        }
    }
}

fn read_all(pems: Vec<String>) -> Result<Vec<Certificate>, Error> {
    let read = |(index, pem)| {
        Certificate::read(pem).map_err(|error| Error(format!("certificates[{index}]: {error}")))
    };
    pems.into_iter().enumerate().map(read).collect()
}
