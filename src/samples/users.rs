//! What Cognito asks functions about users. A function fills in the response, and returns the whole event.

use serde_json::{Value, json};

use super::Origin;

fn event(origin: &Origin<'_>, source: &str, request: Value, response: Value) -> Value {
    json!({
        "version": "1",
        "triggerSource": source,
        "region": origin.region(),
        "userPoolId": origin.name(&format!("{}_EXAMPLE12", origin.region())),
        "userName": "jane",
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "1example23456789" },
        "request": request,
        "response": response,
    })
}

fn with_attributes(request: Value) -> Value {
    let mut request = request;
    request["userAttributes"] = json!({
        "sub": "1d1e1f10-7b61-11e6-9a41-93e8deadbeef",
        "email": "jane@example.com",
        "email_verified": "true",
    });
    request
}

pub(super) fn pre_sign_up(origin: &Origin<'_>) -> Value {
    let response = json!({ "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false });
    event(origin, "PreSignUp_SignUp", with_attributes(json!({ "validationData": {} })), response)
}

pub(super) fn post_confirmation(origin: &Origin<'_>) -> Value {
    event(origin, "PostConfirmation_ConfirmSignUp", with_attributes(json!({})), json!({}))
}

pub(super) fn pre_authentication(origin: &Origin<'_>) -> Value {
    event(
        origin,
        "PreAuthentication_Authentication",
        with_attributes(json!({ "validationData": {} })),
        json!({}),
    )
}

pub(super) fn post_authentication(origin: &Origin<'_>) -> Value {
    let request = with_attributes(json!({ "newDeviceUsed": false }));
    event(origin, "PostAuthentication_Authentication", request, json!({}))
}

pub(super) fn custom_message(origin: &Origin<'_>) -> Value {
    let request =
        json!({ "codeParameter": "{####}", "linkParameter": "{##Click Here##}", "usernameParameter": null });
    let response = json!({ "smsMessage": null, "emailMessage": null, "emailSubject": null });
    event(origin, "CustomMessage_SignUp", with_attributes(request), response)
}

pub(super) fn define_challenge(origin: &Origin<'_>) -> Value {
    let response = json!({ "challengeName": null, "issueTokens": null, "failAuthentication": null });
    let request = with_attributes(json!({ "session": [] }));
    event(origin, "DefineAuthChallenge_Authentication", request, response)
}

pub(super) fn create_challenge(origin: &Origin<'_>) -> Value {
    let request = with_attributes(json!({ "challengeName": "CUSTOM_CHALLENGE", "session": [] }));
    let response = json!({
        "publicChallengeParameters": null, "privateChallengeParameters": null, "challengeMetadata": null,
    });
    event(origin, "CreateAuthChallenge_Authentication", request, response)
}

pub(super) fn verify_challenge(origin: &Origin<'_>) -> Value {
    let request =
        with_attributes(json!({ "privateChallengeParameters": { "answer": "42" }, "challengeAnswer": "42" }));
    event(origin, "VerifyAuthChallengeResponse_Authentication", request, json!({ "answerCorrect": null }))
}

pub(super) fn migration(origin: &Origin<'_>) -> Value {
    let request = json!({ "password": "an example", "validationData": {}, "clientMetadata": {} });
    let response = json!({
        "userAttributes": null, "finalUserStatus": null, "messageAction": null, "desiredDeliveryMediums": null,
        "forceAliasCreation": null,
    });
    event(origin, "UserMigration_Authentication", request, response)
}

pub(super) fn pre_token(origin: &Origin<'_>) -> Value {
    event(
        origin,
        "TokenGeneration_Authentication",
        with_attributes(json!({ "groupConfiguration": groups(origin) })),
        json!({ "claimsOverrideDetails": null }),
    )
}

pub(super) fn pre_token_v2(origin: &Origin<'_>) -> Value {
    let request = json!({ "groupConfiguration": groups(origin), "scopes": ["openid", "email"] });
    let mut event = event(
        origin,
        "TokenGeneration_Authentication",
        with_attributes(request),
        json!({ "claimsAndScopeOverrideDetails": null }),
    );
    event["version"] = "2".into();
    event
}

fn groups(origin: &Origin<'_>) -> Value {
    let role = format!("arn:aws:iam::{}:role/customers", origin.account());
    json!({ "groupsToOverride": ["customers"], "iamRolesToOverride": [role], "preferredRole": role })
}
