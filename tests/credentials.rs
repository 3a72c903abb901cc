//! The developer's credentials expire during a session, and there are others after a while: with a profile that has a program
//! (`credential_process`) give them, as one does who logs in.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::any,
};
use sst::{
    aws::{self, Aws, CredentialsState},
    ui::{Ui, UiEvent},
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/a</Arn>\
    <Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

const EXPIRED: &str = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>The security token included in the request \
    is expired</Message></Error></ErrorResponse>";

/// Where the test's own directory is, for the process that has the configuration.
const DIRECTORY: &str = "SST_TEST_CREDENTIALS";

/// The AWS configuration is found by variables, which belong to a process. So the test is in another one.
#[test]
fn a_session_goes_on_with_credentials_that_are_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("give");
    let body = "cd \"$(dirname \"$0\")\" && echo >>asked && cat answer && exit\necho 'the session has expired' >&2; exit 255\n";
    std::fs::write(&script, body).unwrap();
    let config = directory.path().join("config");
    let profile =
        format!("[profile work]\nregion = eu-west-1\ncredential_process = sh {}\n", script.display());
    std::fs::write(&config, profile).unwrap();
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "renewed", "--ignored", "--nocapture"])
        .env("AWS_CONFIG_FILE", config)
        .env("AWS_SHARED_CREDENTIALS_FILE", directory.path().join("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout).into_owned() + &String::from_utf8_lossy(&other.stderr);
    assert!(other.status.success() && said.contains("1 passed"), "{said}");
}

/// Takes any credentials but those that have expired, and remembers whose they were.
#[derive(Debug, Default)]
struct Service {
    keys: Mutex<Vec<String>>,
    expired: Mutex<Option<&'static str>>,
}

impl Service {
    async fn answer(State(service): State<Arc<Self>>, headers: HeaderMap) -> (StatusCode, &'static str) {
        let authorization = headers["authorization"].to_str().unwrap();
        let (_, rest) = authorization.split_once("Credential=").unwrap();
        let key = rest.split('/').next().unwrap().to_owned();
        let expired = service.expired.lock().unwrap().is_some_and(|expired| expired == key);
        service.keys.lock().unwrap().push(key);
        if expired { (StatusCode::FORBIDDEN, EXPIRED) } else { (StatusCode::OK, IDENTITY) }
    }

    fn last(&self) -> String {
        self.keys.lock().unwrap().last().unwrap().clone()
    }
}

/// What the program answers, for so many seconds or without an end.
fn give(directory: &Path, key: &str, seconds: Option<i64>) {
    let expires = seconds.map(|seconds| jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
    let expires = expires.map(|expires| format!(r#","Expiration":"{expires}""#)).unwrap_or_default();
    let answer =
        format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t"{expires}}}"#);
    let new = directory.join("new");
    std::fs::write(&new, answer).unwrap();
    std::fs::rename(new, directory.join("answer")).unwrap();
}

async fn ask(aws: &Aws) -> bool {
    aws.sts().get_caller_identity().send().await.is_ok()
}

#[tokio::test]
#[ignore = "it is run by the other one"]
async fn renewed() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    let service = Arc::new(Service::default());
    let router = Router::new().fallback(any(Service::answer)).with_state(service.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, router).await });

    give(directory, "FIRST", Some(12));
    let options = aws::Options { profile: Some("work".to_owned()), endpoint, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    assert_eq!(service.last(), "FIRST");
    let (ui, mut shown) = Ui::channel();
    let mut state = aws.credentials_state();
    tokio::spawn(aws::tell(aws.credentials_state(), ui));

    // They are renewed ten seconds before their end, and there are none.
    std::fs::remove_file(directory.join("answer")).unwrap();
    sleep(Duration::from_millis(2_500)).await;
    for _ in 0..3 {
        assert!(!ask(&aws).await && !ask(&aws.fresh()).await);
    }
    state.changed().await.unwrap();
    let missing = state.borrow_and_update().clone();
    let CredentialsState::Missing { reason, fix } = missing else { panic!("{missing:?}") };
    assert!(reason.contains("the session has expired"), "{reason}");
    assert_eq!(fix, "renew those of the profile `work`");
    let asked = std::fs::read_to_string(directory.join("asked")).unwrap().lines().count();
    assert!(asked < 8, "the program is not started for each request: {asked}");

    // Nobody asks for anything meanwhile.
    give(directory, "SECOND", None);
    timeout(Duration::from_secs(20), state.changed()).await.unwrap().unwrap();
    assert_eq!(*state.borrow_and_update(), CredentialsState::Valid);
    assert!(ask(&aws).await);
    assert_eq!(service.last(), "SECOND");

    // Those that do not say when they end.
    *service.expired.lock().unwrap() = Some("SECOND");
    assert!(!ask(&aws).await && !ask(&aws).await);
    assert!(matches!(&*state.borrow_and_update(), CredentialsState::Missing { .. }));
    give(directory, "THIRD", Some(3600));
    timeout(Duration::from_secs(20), state.changed()).await.unwrap().unwrap();
    assert!(ask(&aws).await);
    assert_eq!(service.last(), "THIRD");

    // The profile itself may have changed.
    *service.expired.lock().unwrap() = Some("THIRD");
    assert!(!ask(&aws).await && !ask(&aws).await);
    state.changed().await.unwrap();
    let keys = "[profile work]\naws_access_key_id = FOURTH\naws_secret_access_key = s\n";
    std::fs::write(std::env::var_os("AWS_CONFIG_FILE").unwrap(), keys).unwrap();
    timeout(Duration::from_secs(20), state.changed()).await.unwrap().unwrap();
    assert!(ask(&aws).await);
    assert_eq!(service.last(), "FOURTH");

    sleep(Duration::from_millis(100)).await;
    let told: Vec<&str> = std::iter::from_fn(|| shown.try_recv().ok())
        .map(|event| match event {
            UiEvent::Warning(text) if text.contains("no valid AWS credentials any more") => "none",
            UiEvent::Info(text) if text.contains("valid again") => "again",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["none", "again", "none", "again", "none", "again"]);
}
