//! The application's credentials in Entra ID: secrets, certificates and federated credentials.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::error::Error;

/// Changes to the application's credentials. A list replaces all credentials of its kind; an absent one changes
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Application {
    /// The secrets, each of which is accepted until it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secrets: Option<Vec<ClientSecret>>,
    /// The certificates, as PEM, with RSA keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Vec<String>>,
    /// The federated credentials (workload identity).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federated: Option<Vec<Federated>>,
}

/// A client secret: in JSON a string, or an object with the time at which it expires.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SecretForm")]
pub struct ClientSecret {
    /// The secret.
    pub value: String,
    /// The time at which it expires, in Unix seconds; never if it is absent.
    pub expires: Option<u64>,
}

/// A client secret as JSON has it. The control API's errors show this type's name, and that of [`Federated`].
#[derive(Deserialize)]
#[serde(untagged)]
enum SecretForm {
    /// The secret, which never expires.
    Plain(String),
    /// The secret with its expiry.
    Expiring(ExpiringSecret),
}

/// A client secret as an object of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiringSecret {
    /// The secret.
    value: String,
    /// The time at which it expires, in Unix seconds.
    #[serde(default)]
    expires: Option<u64>,
}

impl From<SecretForm> for ClientSecret {
    fn from(form: SecretForm) -> Self {
        match form {
            SecretForm::Plain(value) => Self { value, expires: None },
            SecretForm::Expiring(ExpiringSecret { value, expires }) => Self { value, expires },
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

/// A federated identity credential: the tokens that are accepted. All three claims are compared case-sensitively.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// Their `iss` claim: the URL of the issuer.
    pub issuer: String,
    /// Their `sub` claim.
    pub subject: String,
    /// Their `aud` claim, or one of them.
    pub audience: String,
}

/// The application's credentials that are registered now.
#[derive(Clone)]
pub(crate) struct RegisteredCredentials {
    /// The client secrets, expired ones included.
    pub secrets: Vec<ClientSecret>,
    /// The certificates, expired ones included.
    pub certificates: Vec<Certificate>,
    /// The federated credentials.
    pub federated: Vec<Federated>,
}

impl RegisteredCredentials {
    /// Registers a secret that never expires, and nothing else.
    pub(crate) fn with_secret(secret: &str) -> Self {
        Self { secrets: vec![secret.into()], certificates: Vec::new(), federated: Vec::new() }
    }

    /// Applies the changes to a copy.
    ///
    /// # Errors
    /// A certificate cannot be parsed, or its key is not RSA; names its index in the list.
    pub(crate) fn with_changes(&self, changes: Application) -> Result<Self, Error> {
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

    /// Converts to the changes that make the same of any other credentials.
    pub(crate) fn to_changes(&self) -> Application {
        let pems = self.certificates.iter().map(|certificate| certificate.pem.clone());
        Application {
            client_secrets: Some(self.secrets.clone()),
            certificates: Some(pems.collect()),
            federated: Some(self.federated.clone()),
        }
    }
}

/// Parses the certificates.
///
/// # Errors
/// One of them cannot be parsed, or its key is not RSA; names its index.
fn read_all(pems: Vec<String>) -> Result<Vec<Certificate>, Error> {
    let read = |(index, pem)| {
        Certificate::read(pem).map_err(|error| Error(format!("certificates[{index}]: {error}")))
    };
    pems.into_iter().enumerate().map(read).collect()
}
