//! What kube-apiserver and the kubelet do, before and after a crash.

use kms_testkit::Client;

use crate::report::Report;
use crate::world::World;

/// As long as the data keys of kube-apiserver.
const DATA_KEY: &[u8; 32] = b"thirty-two bytes of a data key!!";

/// Every step, in order.
pub(crate) async fn all(world: &World, report: &mut Report) -> Result<(), String> {
    let mut client = world.daemon.client();
    let key_id = round(&mut client, world, report).await?;
    crash(world, report).await?;
    let after = round(&mut client, world, report).await?;
    if after != key_id {
        return Err(format!("the key_id changed from {key_id} to {after}"));
    }
    report.fact("key_id", key_id);
    report.fact("restarts", kms_testkit::restarts(&world.daemon.try_metrics().await?));
    Ok(())
}

/// Both KMS APIs and healthz. Gives the key_id.
async fn round(client: &mut Client, world: &World, report: &mut Report) -> Result<String, String> {
    v1(client, report).await?;
    let key_id = v2(client, report).await?;
    let healthz = report.step("GET /healthz", async {
        match world.daemon.try_get("/healthz").await? {
            (200, body) => Ok(((), body)),
            (status, body) => Err(format!("HTTP {status}: {body}")),
        }
    });
    healthz.await?;
    Ok(key_id)
}

async fn v1(client: &mut Client, report: &mut Report) -> Result<(), String> {
    let version = report.step("v1 Version", async {
        let answer = client.version().await.map_err(text)?;
        Ok(((), answer.version))
    });
    version.await?;
    let sealed = report.step("v1 Encrypt", async {
        let sealed = client.encrypt_v1(DATA_KEY).await.map_err(text)?;
        let result = format!("{} bytes in, {} out", DATA_KEY.len(), sealed.len());
        Ok((sealed, result))
    });
    let sealed = sealed.await?;
    let opened = report.step("v1 Decrypt", async {
        let opened = client.decrypt_v1(&sealed).await.map_err(text)?;
        same(&opened)
    });
    opened.await
}

async fn v2(client: &mut Client, report: &mut Report) -> Result<String, String> {
    let key_id = report.step("v2 Status", async {
        let status = client.status().await.map_err(text)?;
        match status.healthz.as_str() {
            "ok" => Ok((status.key_id, format!("{}, {}", status.healthz, status.version))),
            reason => Err(format!("healthz is {reason:?}")),
        }
    });
    let key_id = key_id.await?;
    let sealed = report.step("v2 Encrypt", async {
        let sealed = client.encrypt_v2(DATA_KEY).await.map_err(text)?;
        if sealed.key_id != key_id {
            return Err(format!("key_id {} is not that of Status", sealed.key_id));
        }
        let result = format!("key_id {}…, {} annotations", &key_id[..12], sealed.annotations.len());
        Ok((sealed, result))
    });
    let sealed = sealed.await?;
    let opened = report.step("v2 Decrypt", async {
        let opened = client.decrypt_v2(sealed).await.map_err(text)?;
        same(&opened)
    });
    opened.await?;
    Ok(key_id)
}

/// The KeyVaultActor panics; its supervisor starts another.
async fn crash(world: &World, report: &mut Report) -> Result<(), String> {
    let crash = report.step("the KeyVaultActor panics", async {
        world.daemon.try_inject("key-vault", "panic").await?;
        let restarted = "\"Actor started\" actor=\"key-vault\" generation=2";
        world.daemon.process.wait_for(restarted, 1).await?;
        Ok(((), "supervisor started generation 2".to_owned()))
    });
    crash.await
}

fn same(opened: &[u8]) -> Result<((), String), String> {
    match opened == DATA_KEY {
        true => Ok(((), format!("the same {} bytes", opened.len()))),
        false => Err("another plaintext came back".to_owned()),
    }
}

fn text(status: tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
