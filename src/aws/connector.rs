//! The HTTP client of everything that speaks to AWS, also of what the SDK does for credentials. It tells the clock what time AWS has.

use std::{borrow::Cow, time::Duration};

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
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

use super::{Clock, clients::CONNECT, upload::Progress};

/// A client without any connection, which trusts what `trust` does.
pub(super) fn client(trust: &TlsContext, clock: &Clock) -> SharedHttpClient {
    let client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(trust.clone())
        .build_https();
    SharedHttpClient::new(Client { client, clock: clock.clone() })
}

#[derive(Debug)]
struct Client {
    client: SharedHttpClient,
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
        let connector = self.client.http_connector(&limited.build(), components);
        SharedHttpConnector::new(Connector { connector, clock: self.clock.clone() })
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
    connector: SharedHttpConnector,
    clock: Clock,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let upload = Progress::follow(request.body_mut());
        let clock = self.clock.clone();
        let began = clock.continuous();
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = match upload {
                None => answer.await,
                Some(upload) => tokio::select! {
                    answer = answer => answer,
                    () = upload.stalled() => Err(ConnectorError::timeout("the upload has stalled".into())),
                },
            };
            if let Ok(answer) = &answer {
                hear(&clock, answer, clock.continuous().saturating_sub(began));
            }
            answer
        })
    }
}

fn hear(clock: &Clock, answer: &HttpResponse, took: Duration) {
    // What a cache has kept tells an old time.
    if let (Some(date), None) = (answer.headers().get("date"), answer.headers().get("age")) {
        clock.heard_date(date, took);
    }
}
