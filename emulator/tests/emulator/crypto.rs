//! Encrypt, decrypt, wrapKey, unwrapKey.

use akv_emulator::Permissions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::harness::Azure;

#[tokio::test]
async fn what_is_wrapped_can_be_decrypted_up_to_the_limit_of_the_padding() {
    let azure = Azure::start().await;
    let version = azure.info().key_versions[0].clone();
    for (algorithm, limit) in [("RSA1_5", 245), ("RSA-OAEP", 214), ("RSA-OAEP-256", 190)] {
        let wrapped = |size| {
            let body = json!({ "alg": algorithm, "value": URL_SAFE_NO_PAD.encode(vec![7; size]) });
            azure.call("POST", "/keys/k8s/wrapkey", body)
        };
        let encrypted = wrapped(limit).await.ok();
        let kid = format!("https://emulator.vault.azure.net/keys/k8s/{version}");
        assert_eq!(encrypted["kid"], json!(kid));
        let body = json!({ "alg": algorithm, "value": encrypted["value"] });
        let decrypted = azure.call("POST", &format!("/keys/k8s/{version}/decrypt"), body).await.ok();
        assert_eq!(decrypted["value"], json!(URL_SAFE_NO_PAD.encode(vec![7; limit])));
        assert_eq!(wrapped(limit + 1).await.code(), "400 BadParameter");
    }
}

#[tokio::test]
async fn a_version_decrypts_only_its_own_ciphertexts() {
    let azure = Azure::start().await;
    let old = azure.perform("encrypt", "AAEC").await.ok();
    azure.emulator.rotate("k8s").unwrap();
    let old_text = old["value"].as_str().unwrap();
    assert_eq!(azure.perform("decrypt", old_text).await.code(), "400 BadParameter");
    let body = json!({ "alg": "RSA-OAEP-256", "value": old_text });
    let path = format!("/keys/k8s/{}/decrypt", azure.info().key_versions[0]);
    assert_eq!(azure.call("POST", &path, body).await.ok()["value"], json!("AAEC"));
}

#[tokio::test]
async fn paths_are_read_in_any_case_with_doubled_and_trailing_slashes() {
    let azure = Azure::start().await;
    let body = json!({ "alg": "RSA1_5", "value": "AA" });
    for path in ["/keys/k8s//wrapKey", "/KEYS/k8s/WRAPKEY/", "/keys/k8s/wrapkey"] {
        azure.call("POST", path, body.clone()).await.ok();
    }
}

#[tokio::test]
async fn wrap_and_encrypt_make_the_same_and_need_rights_of_their_own() {
    let azure = Azure::start().await;
    let rights = |operations: [&str; 2]| {
        let operations = operations.map(str::to_owned).into();
        azure.emulator.set_permissions(Permissions::from([(azure.info().client_id.clone(), operations)]));
    };
    for [encrypt, decrypt, other_encrypt, other_decrypt] in
        [["wrapkey", "unwrapkey", "encrypt", "decrypt"], ["encrypt", "decrypt", "wrapkey", "unwrapkey"]]
    {
        let right = |operation: &'static str| match operation {
            "wrapkey" => "wrapKey",
            "unwrapkey" => "unwrapKey",
            other => other,
        };
        rights([right(encrypt), right(decrypt)]);
        let encrypted = azure.perform(encrypt, "AAEC").await.ok()["value"].as_str().unwrap().to_owned();
        assert_eq!(azure.perform(decrypt, &encrypted).await.ok()["value"], json!("AAEC"));
        for refused in [other_encrypt, other_decrypt] {
            assert_eq!(azure.perform(refused, &encrypted).await.code(), "403 ForbiddenByRbac");
        }
        rights([right(other_encrypt), right(other_decrypt)]);
        assert_eq!(azure.perform(other_decrypt, &encrypted).await.ok()["value"], json!("AAEC"));
    }
}
