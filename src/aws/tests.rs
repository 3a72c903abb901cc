//! Against services that answer late, never, or at another time of the day.

use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_sts::config::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_types::sdk_config::RetryConfig;
use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{clock::fake::Fake, *};

pub(super) const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/a</Arn>\
    <Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

const REFUSAL: &str = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message>\
    </Error></ErrorResponse>";

const HOUR: Duration = Duration::from_secs(3600);

/// A service that knows when it was asked, and refuses what was signed more than five minutes before or after.
#[derive(Debug)]
struct Service {
    time: Fake,
    /// When requests were signed, and by which connection they came.
    asked: Mutex<Vec<(SystemTime, SocketAddr)>>,
}

impl Service {
    async fn start(time: SystemTime) -> (Arc<Self>, Options) {
        let service = Arc::new(Self { time: Fake::new(time), asked: Mutex::default() });
        let router = Router::new().fallback(any(Self::answer)).with_state(service.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (service, Options { endpoint, local: true, ..Options::default() })
    }

    async fn answer(
        State(service): State<Arc<Self>>,
        ConnectInfo(address): ConnectInfo<SocketAddr>,
        headers: HeaderMap,
    ) -> Response {
        let signed = signed(headers["x-amz-date"].to_str().unwrap());
        service.asked.lock().unwrap().push((signed, address));
        let now = clock::Machine::wall(&service.time);
        let off = now.duration_since(signed).unwrap_or_else(|error| error.duration());
        let date = aws_smithy_types::DateTime::from(now).fmt(aws_smithy_types::date_time::Format::HttpDate);
        let answer = match off < Duration::from_secs(300) {
            true => (StatusCode::OK, IDENTITY),
            false => (StatusCode::FORBIDDEN, REFUSAL),
        };
        ([("date", date.unwrap())], answer).into_response()
    }

    fn asked(&self) -> Vec<(SystemTime, SocketAddr)> {
        self.asked.lock().unwrap().clone()
    }
}

/// What `20261126T100000Z` is.
fn signed(time: &str) -> SystemTime {
    let time: jiff::civil::DateTime = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).unwrap();
    let seconds = time.in_tz("UTC").unwrap().timestamp().as_second();
    UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_694_400)
}

#[tokio::test]
async fn what_was_signed_at_a_wrong_time_is_signed_once_more() {
    for wall in [noon() + HOUR, noon() - HOUR] {
        let (service, options) = Service::start(noon()).await;
        let machine = Fake::new(wall);
        let aws = Aws::connect_at(options, Clock::of(machine.clone())).await.unwrap();
        let asked: Vec<SystemTime> = service.asked().into_iter().map(|(signed, _)| signed).collect();
        assert_eq!(asked, [wall, noon()]);
        assert!(aws.clock.fault().is_some());

        let url = aws.presign_websocket("wss://a.example/dev").await.unwrap();
        assert!(url.contains("X-Amz-Date=20261126T120000Z"), "{url}");
    }
}

#[tokio::test]
async fn setting_the_wall_clock_during_a_session_costs_nothing() {
    let (service, options) = Service::start(noon()).await;
    let machine = Fake::new(noon());
    let aws = Aws::connect_at(options, Clock::of(machine.clone())).await.unwrap();
    for wall in [noon() + HOUR, noon() - HOUR] {
        machine.set_wall(wall);
        for aws in [&aws, &aws.fresh()] {
            aws.sts().get_caller_identity().send().await.unwrap();
            assert_eq!(service.asked().last().unwrap().0, noon());
        }
    }
}

#[tokio::test]
async fn a_fresh_one_uses_no_connection_of_before() {
    let (service, options) = Service::start(SystemTime::now()).await;
    let aws = Aws::connect(options).await.unwrap();
    let from = async |aws: &Aws| {
        aws.sts().get_caller_identity().send().await.unwrap();
        service.asked().last().unwrap().1
    };
    let before = from(&aws).await;
    assert_eq!(from(&aws.clone()).await, before, "connections are kept");
    let fresh = aws.fresh();
    let after = from(&fresh).await;
    assert_ne!(after, before);
    assert_eq!(from(&fresh).await, after);
}

/// Sleeps a hundredth of what it should.
#[derive(Debug)]
struct Short;

const TIMES: u32 = 100;

impl AsyncSleep for Short {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration / TIMES))
    }
}

#[tokio::test]
async fn no_client_waits_for_ever() {
    let (_, options) = Service::start(SystemTime::now()).await;
    let mut aws = Aws::connect(options).await.unwrap();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let short = SharedAsyncSleep::new(Short);
    aws.sdk = aws.sdk.to_builder().endpoint_url(&url).sleep_impl(short).build();
    let text = "{}".as_bytes().to_vec();
    let unanswered = async |request: &mut (dyn Future<Output = bool> + Unpin + Send),
                            (least, most): (u64, u64)| {
        let began = tokio::time::Instant::now();
        let limit = Duration::from_secs(most);
        let ended = tokio::time::timeout(limit / TIMES + Duration::from_secs(1), request).await;
        assert_eq!(ended, Ok(true), "{:?} of {limit:?}", began.elapsed() * TIMES);
        assert!(began.elapsed() * TIMES >= Duration::from_secs(least), "{:?}", began.elapsed() * TIMES);
    };
    macro_rules! unanswered {
        ($request:expr, $limits:expr) => {
            unanswered(&mut Box::pin(async { $request.send().await.is_err() }), $limits).await
        };
    }
    unanswered!(aws.sts().get_caller_identity(), (10, 16));
    unanswered!(aws.dynamodb().scan().table_name("t"), (10, 16));
    unanswered!(aws.lambda().get_function_configuration().function_name("f"), (10, 16));
    unanswered!(
        aws.management(&url).post_to_connection().connection_id("c").data(text.clone().into()),
        (10, 16)
    );
    unanswered!(aws.s3().get_object().bucket("b").key("k"), (10, 16));
    unanswered!(aws.s3().put_object().bucket("b").key("k").body(text.clone().into()), (60, 150));
    unanswered!(aws.cloudformation().describe_stacks(), (20, 60));
    unanswered!(aws.invoker(Duration::from_secs(90)).invoke().function_name("f"), (90, 90));
}

#[tokio::test]
async fn a_body_that_stalls_fails_within_seconds() {
    let (_, options) = Service::start(SystemTime::now()).await;
    let mut aws = Aws::connect(options).await.unwrap();
    // It begins to answer whoever only asks, and takes nothing of what is sent to it.
    let stalling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", stalling.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = stalling.accept().await {
            let mut method = [0; 3];
            stream.read_exact(&mut method).await.unwrap();
            if method == *b"GET" {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegins").await.unwrap();
            }
            open.push(stream);
        }
    });
    aws.sdk = aws.sdk.to_builder().endpoint_url(&url).retry_config(RetryConfig::disabled()).build();
    let read = async {
        let object = aws.s3().get_object().bucket("b").key("k").send().await.unwrap();
        assert!(object.body.collect().await.is_err());
    };
    let write = async {
        let body = vec![0; 32 * 1024 * 1024].into();
        let put = aws.s3().put_object().bucket("b").key("k").body(body).send().await;
        let error = chain(&put.unwrap_err());
        assert!(error.contains("the upload has stalled"), "{error}");
    };
    // One after the other: the checksum of a long body takes its time, in which nothing else happens here.
    let limit = Duration::from_secs(30);
    let read = tokio::time::timeout(limit, read).await;
    let write = tokio::time::timeout(limit, write).await;
    assert!(read.is_ok() && write.is_ok(), "one waits for more than its body: {read:?} {write:?}");
}

#[test]
fn endpoints_in_the_environment_are_checked() {
    let check = |name: &str, value: &str| check_endpoints([(name.into(), value.into())].into_iter());
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL_STS", "https://x/y"),
        ("OTHER", ""),
    ] {
        assert!(check(name, value).is_ok(), "{name}");
    }
    for (name, value) in
        [("AWS_ENDPOINT_URL", ""), ("AWS_ENDPOINT_URL_S3", "localhost:1"), ("AWS_ENDPOINT_URL", "http://")]
    {
        assert_eq!(check(name, value).unwrap_err().kind, Kind::Usage, "{name}={value}");
    }
}

#[test]
fn it_is_known_what_a_request_was_signed_with() {
    let header = "AWS4-HMAC-SHA256 Credential=ASIA1/20261126/eu-central-1/execute-api/aws4_request, SignedHeaders=host";
    let url = "wss://a/dev?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIA1%2F20261126%2Feu-central-1";
    assert_eq!(
        [signed_with(header), signed_with(url), signed_with("Bearer x")],
        [Some("ASIA1"), Some("ASIA1"), None]
    );
}
