//! The calls of kube-apiserver and the kubelet, before and after a crash.

use kms_testkit::{Client, http, restarts};

use crate::report::Report;
use crate::world::World;

/// As long as the data keys of kube-apiserver.
const DATA_KEY: &[u8; 32] = b"thirty-two bytes of a data key!!";

/// Makes every step, in order.
///
/// # Errors
/// Fails at the first step that does.
pub(crate) async fn all(world: &mut World, report: &mut Report) -> Result<(), String> {
    let mut client = Client::new(world.socket.clone());
    let key_id = round(&mut client, world, report).await?;
    crash(world, report).await?;
    let after = round(&mut client, world, report).await?;
    if after != key_id {
        return Err(format!("the key_id changed from {key_id} to {after}"));
    }
    report.fact("key_id", key_id);
    let (_, metrics) = http("GET", &world.metrics).await?;
    report.fact("restarts", restarts(&metrics));
    Ok(())
}

/// Calls both KMS APIs and healthz, and returns the key_id.
///
/// # Errors
/// Fails if a call does, or if what came back is not what went in.
async fn round(client: &mut Client, world: &World, report: &mut Report) -> Result<String, String> {
    v1(client, report).await?;
    let key_id = v2(client, report).await?;
    let healthz = report.step("GET /healthz", async {
        match world.ask("GET", "/healthz").await? {
            (200, body) => Ok(((), body)),
            (status, body) => Err(format!("HTTP {status}: {body}")),
        }
    });
    healthz.await?;
    Ok(key_id)
}

/// Calls the v1 API.
///
/// # Errors
/// Fails if a call does, or if another plaintext comes back.
async fn v1(client: &mut Client, report: &mut Report) -> Result<(), String> {
    let version = report.step("v1 Version", async {
        let answer = client.version().await.map_err(text)?;
        Ok(((), answer.version))
    });
    version.await?;
    let encrypted = report.step("v1 Encrypt", async {
        let encrypted = client.encrypt_v1(DATA_KEY).await.map_err(text)?;
        let result = format!("{} bytes in, {} out", DATA_KEY.len(), encrypted.len());
        Ok((encrypted, result))
    });
    let encrypted = encrypted.await?;
    let decrypted = report.step("v1 Decrypt", async {
        let decrypted = client.decrypt_v1(&encrypted).await.map_err(text)?;
        same(&decrypted)
    });
    decrypted.await
}

/// Calls the v2 API, and returns its key_id.
///
/// # Errors
/// Fails if a call does, if it is not healthy, or if another plaintext or key_id comes back.
async fn v2(client: &mut Client, report: &mut Report) -> Result<String, String> {
    let key_id = report.step("v2 Status", async {
        let status = client.status().await.map_err(text)?;
        match status.healthz.as_str() {
            "ok" => Ok((status.key_id, format!("{}, {}", status.healthz, status.version))),
            reason => Err(format!("healthz is {reason:?}")),
        }
    });
    let key_id = key_id.await?;
    let encrypted = report.step("v2 Encrypt", async {
        let encrypted = client.encrypt_v2(DATA_KEY).await.map_err(text)?;
        if encrypted.key_id != key_id {
            return Err(format!("key_id {} is not that of Status", encrypted.key_id));
        }
        let result = format!("key_id {}…, {} annotations", &key_id[..12], encrypted.annotations.len());
        Ok((encrypted, result))
    });
    let encrypted = encrypted.await?;
    let decrypted = report.step("v2 Decrypt", async {
        let decrypted = client.decrypt_v2(encrypted).await.map_err(text)?;
        same(&decrypted)
    });
    decrypted.await?;
    Ok(key_id)
}

/// Makes the KeyVaultActor panic, and waits until its supervisor has started another.
///
/// # Errors
/// Fails if the daemon has no fault injection, or if no other actor is started.
async fn crash(world: &mut World, report: &mut Report) -> Result<(), String> {
    let crash = report.step("the KeyVaultActor panics", async {
        match world.ask("POST", "/debug/actors/key-vault/panic").await? {
            (200, _) => {}
            (status, body) => return Err(format!("HTTP {status}: {body}")),
        }
        world.daemon.wait_for("\"Actor started\" actor=\"key-vault\" generation=2").await?;
        Ok(((), "supervisor started generation 2".to_owned()))
    });
    crash.await
}

/// Compares with what was encrypted.
///
/// # Errors
/// Fails if it is another plaintext.
fn same(decrypted: &[u8]) -> Result<((), String), String> {
    if decrypted != DATA_KEY {
        return Err("another plaintext came back".to_owned());
    }
    Ok(((), format!("the same {} bytes", decrypted.len())))
}

fn text(status: tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
