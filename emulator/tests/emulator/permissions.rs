//! Permissions of principals.

use akv_emulator::{PermissionModel, Permissions};
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT, claims};

const OPERATIONS: [(&str, &str, &str); 9] = [
    ("get", "GET", "/keys/k8s"),
    ("list", "GET", "/keys/k8s/versions"),
    ("create", "POST", "/keys/new/create"),
    ("update", "PATCH", "/keys/k8s"),
    ("rotate", "POST", "/keys/k8s/rotate"),
    ("encrypt", "POST", "/keys/k8s/encrypt"),
    ("decrypt", "POST", "/keys/k8s/decrypt"),
    ("wrapKey", "POST", "/keys/k8s/wrapkey"),
    ("unwrapKey", "POST", "/keys/k8s/unwrapkey"),
];

async fn allowed(azure: &Azure) -> Vec<&'static str> {
    let mut allowed = Vec::new();
    for (operation, method, path) in OPERATIONS {
        // a body that is wrong for all of them: the permission is checked first
        let response = azure.call(method, path, json!("no object")).await;
        if response.status != 403 {
            allowed.push(operation);
        }
    }
    allowed
}

#[tokio::test]
async fn a_principal_may_do_what_it_is_given_and_others_everything() {
    let azure = Azure::start().await;
    assert_eq!(allowed(&azure).await, OPERATIONS.map(|(operation, ..)| operation));
    azure.control_ok("PUT", "/permissions", json!({ "somebody": [] })).await;
    assert_eq!(allowed(&azure).await.len(), OPERATIONS.len());
    let given = json!({ azure.info().client_id.clone(): ["get", "wrapKey"] });
    azure.control_ok("PUT", "/permissions", given).await;
    assert_eq!(allowed(&azure).await, ["get", "wrapKey"]);
    azure.emulator.set_permissions(Permissions::new());
    assert_eq!(allowed(&azure).await.len(), OPERATIONS.len());
}

#[tokio::test]
async fn a_missing_right_is_refused_with_the_caller_s_object_id_and_the_action_s_name() {
    let azure = Azure::start().await;
    let (token, app) = (azure.token(VAULT).await, azure.info().client_id.clone());
    azure.emulator.set_permissions(Permissions::from([(app.clone(), Default::default())]));
    let request = azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s").bearer_auth(&token);
    let response = Response::to(request).await;
    let oid = claims(&token)["oid"].as_str().unwrap().to_owned();
    assert_ne!(oid, app);
    let expected = format!(
        r"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: appid={app};oid={oid};iss=https://sts.windows.net/{}/\r\nAction: 'Microsoft.KeyVault/vaults/keys/read'\r\nResource: '/subscriptions/emulator/vaults/emulator/keys/k8s'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: emulator;location=westeurope\r\n",
        azure.info().tenant_id
    );
    let body = format!(
        r#"{{"error":{{"code":"Forbidden","message":"{expected}","innererror":{{"code":"ForbiddenByRbac"}}}}}}"#
    );
    assert_eq!((response.status, response.text), (403, body));
}

#[tokio::test]
async fn a_vault_with_access_policies_names_the_caller_and_the_missing_permission() {
    let azure = Azure::start().await;
    let (token, app) = (azure.token(VAULT).await, azure.info().client_id.clone());
    azure.emulator.set_permissions(Permissions::from([(app.clone(), ["get".to_owned()].into())]));
    azure.control_ok("PUT", "/permission-model", json!({ "model": "access-policy" })).await;
    let oid = claims(&token)["oid"].as_str().unwrap().to_owned();
    let expected = format!(
        "The user, group or application 'appid={app};oid={oid};iss=https://sts.windows.net/{}/' does not have keys \
         wrapKey permission on key vault 'emulator;location=westeurope'. For help resolving this issue, please see \
         https://go.microsoft.com/fwlink/?linkid=2125287",
        azure.info().tenant_id
    );
    let response = azure.perform("wrapKey", "AA").await;
    assert_eq!((response.code(), response.message()), ("403 AccessDenied".to_owned(), expected));
    assert_eq!(allowed(&azure).await, ["get"]);
    azure.emulator.set_permission_model(PermissionModel::Rbac);
    assert_eq!(azure.perform("wrapKey", "AA").await.code(), "403 ForbiddenByRbac");
}

#[tokio::test]
async fn operations_that_do_not_exist_are_refused_with_those_that_do() {
    let azure = Azure::start().await;
    let response = azure.control("PUT", "/permissions", json!({ "somebody": ["get", "wrapkey"] })).await;
    let expected = "\"wrapkey\" is not an operation; those that exist are get, list, create, update, rotate, \
                    encrypt, decrypt, wrapKey, unwrapKey";
    assert_eq!((response.status, response.json()), (400, json!({ "error": expected })));
    assert_eq!(azure.control("PUT", "/permissions", Value::Null).await.status, 400);
}
