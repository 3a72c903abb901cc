//! The HTTP client of everything that speaks to AWS, also of what the SDK does for credentials. It tells the clock what time AWS has.

use std::{borrow::Cow, sync::Arc, time::Duration};

use aws_smithy_http_client::{
    Builder,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use http::{HeaderMap, StatusCode, Uri, header::PROXY_AUTHENTICATE};

use super::{
    Clock, Network, causes,
    clients::CONNECT,
    failure::NoAnswer,
    proxy::{Proxy, is_secure, place},
    tunnel::{self, Refusal},
    upload::Progress,
};

/// A client without any connection.
pub(super) fn client(network: &Network, clock: &Clock) -> SharedHttpClient {
    let direct = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(network.trust.clone())
        .build_https();
    let through =
        network.proxies.all().map(|proxy| (proxy.clone(), client_through(proxy, network))).collect();
    SharedHttpClient::new(Client { direct, through, network: network.clone(), clock: clock.clone() })
}

/// A client that has a proxy for everything. It looks at no variable itself: which request is for which proxy is decided here, and the
/// same for all connections.
fn client_through(proxy: &Proxy, network: &Network) -> SharedHttpClient {
    let trust = network.trust.clone();
    // The URL was looked at, so it is one.
    let config = ProxyConfig::all(proxy.uri().clone()).unwrap_or_else(|_| ProxyConfig::disabled());
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = aws_smithy_http_client::Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(trust.clone())
            .proxy_config(config.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    })
}

#[derive(Debug)]
struct Client {
    direct: SharedHttpClient,
    /// For each proxy.
    through: Vec<(Arc<Proxy>, SharedHttpClient)>,
    network: Network,
    clock: Clock,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // The SDK's own clients of providers of credentials have no limits.
        let mut limited = HttpConnectorSettings::builder()
            .connect_timeout(settings.connect_timeout().map_or(CONNECT, |limit| limit.min(CONNECT)));
        limited.set_read_timeout(settings.read_timeout());
        let limited = limited.build();
        let through = self.through.iter();
        SharedHttpConnector::new(Connector {
            direct: self.direct.http_connector(&limited, components),
            through: through
                .map(|(proxy, client)| (proxy.clone(), client.http_connector(&limited, components)))
                .collect(),
            network: self.network.clone(),
            clock: self.clock.clone(),
        })
    }

    fn validate_base_client_config(
        &self,
        _: &RuntimeComponentsBuilder,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        // What is trusted has been looked at. The inner client would load all certificates, for each client of a service anew.
        Ok(())
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

#[derive(Debug)]
struct Connector {
    direct: SharedHttpConnector,
    through: Vec<(Arc<Proxy>, SharedHttpConnector)>,
    network: Network,
    clock: Clock,
}

impl Connector {
    /// What a request is made with, and the proxy that is in between.
    fn way(&self, request: &HttpRequest) -> (&SharedHttpConnector, Option<Way>) {
        let target = request.uri().parse::<Uri>().ok();
        let proxy = target.as_ref().and_then(|uri| self.network.proxies.to(uri));
        let through =
            proxy.and_then(|proxy| self.through.iter().find(|(known, _)| Arc::ptr_eq(known, proxy)));
        match (through, target) {
            (Some((proxy, connector)), Some(target)) => {
                let way = Way { proxy: proxy.clone(), target, tls: self.network.tls.clone() };
                (connector, Some(way))
            }
            _ => (&self.direct, None),
        }
    }
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let upload = Progress::follow(request.body_mut());
        let clock = self.clock.clone();
        let began = clock.continuous();
        let (connector, way) = self.way(&request);
        let target = request.uri().to_owned();
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = match upload {
                None => answer.await,
                Some(upload) => tokio::select! {
                    answer = answer => answer,
                    () = upload.stalled() => Err(ConnectorError::timeout("the upload has stalled".into())),
                },
            };
            let by = way.as_ref().map(|way| format!(" through {}", way.proxy)).unwrap_or_default();
            let answer = match way {
                None => answer,
                Some(way) => way.understand(answer).await,
            };
            let answer = answer.map_err(|error| NoAnswer::to(&target, &by, error));
            if let Ok(answer) = &answer {
                hear(&clock, answer, clock.continuous().saturating_sub(began));
            }
            answer
        })
    }
}

/// What a request takes to get through a proxy.
struct Way {
    proxy: Arc<Proxy>,
    target: Uri,
    tls: Arc<rustls::ClientConfig>,
}

impl Way {
    /// Says of what has failed what the proxy has against it.
    async fn understand(
        self,
        answer: Result<HttpResponse, ConnectorError>,
    ) -> Result<HttpResponse, ConnectorError> {
        let error = match answer {
            Ok(answer) => return self.of_the_service(answer),
            Err(error) => error,
        };
        if is_of_connecting(&error) && !error.is_timeout() {
            // The SDK's client does not tell how the proxy has answered. So it is asked once more.
            if let Ok(Err(refusal)) = tokio::time::timeout(CONNECT, self.try_out()).await {
                // What the proxy does not want it will not want a moment later, either.
                let kind = if refusal.said { ConnectorError::user } else { ConnectorError::io };
                return Err(kind(refusal.into()));
            }
        }
        Err(error)
    }

    /// An answer without TLS may be the proxy's own.
    fn of_the_service(&self, answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
        let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        if answer.status().as_u16() != status.as_u16() {
            return Ok(answer);
        }
        let mut headers = HeaderMap::new();
        for value in answer.headers().get_all(PROXY_AUTHENTICATE.as_str()) {
            if let Ok(value) = value.parse() {
                headers.append(PROXY_AUTHENTICATE, value);
            }
        }
        Err(ConnectorError::user(
            tunnel::answered(&self.proxy, status, &headers, &self.target.to_string()).into(),
        ))
    }

    async fn try_out(&self) -> Result<(), Refusal> {
        match place(&self.target) {
            Some((host, port)) if is_secure(&self.target) => {
                tunnel::through(&self.proxy, &self.tls, &host, port).await.map(drop)
            }
            _ => tunnel::reach(&self.proxy, &self.tls).await.map(drop),
        }
    }
}

/// Whether no connection was made.
fn is_of_connecting(error: &ConnectorError) -> bool {
    causes(error).any(|error| {
        error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
    })
}

fn hear(clock: &Clock, answer: &HttpResponse, took: Duration) {
    // What a cache has kept tells an old time.
    if let (Some(date), None) = (answer.headers().get("date"), answer.headers().get("age")) {
        clock.heard_date(date, took);
    }
}
