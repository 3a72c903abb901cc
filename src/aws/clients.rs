//! The clients of AWS's services. No other module makes any, so that none awaits an answer for ever: `tests/architecture.rs`.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::operation::put_object::PutObjectInput;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::interceptors::{Intercept, context::BeforeSerializationInterceptorContextRef, dyn_dispatch_hint},
};
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::sdk_config::TimeoutConfig;

use super::{Aws, explain};

/// How long connecting may take, TLS included.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// How long one attempt may take; then the next one is made on another connection.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long all attempts may take together.
const OPERATION: Duration = Duration::from_secs(16);

/// CloudFormation looks at a whole template before it answers.
const SLOW_ATTEMPT: Duration = Duration::from_secs(20);
const SLOW_OPERATION: Duration = Duration::from_secs(60);

/// An object of 6 MB over a line of one megabit per second takes 50 seconds. One that stalls meanwhile fails within seconds.
const UPLOAD_ATTEMPT: Duration = Duration::from_secs(60);
const UPLOAD: Duration = Duration::from_secs(150);

/// Limits of an attempt and of all together.
fn limits(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// The limits of a client that has no others.
pub(super) fn usual_limits() -> TimeoutConfig {
    limits(ATTEMPT, OPERATION)
}

impl Aws {
    /// A client of S3. Other endpoints than AWS's own rarely have a name for each bucket, so buckets go into the path there.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk)
            .force_path_style(self.endpoint.is_some())
            .interceptor(self.keeper.clone())
            .interceptor(Uploads);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client of CloudFormation in another region.
    #[must_use]
    pub fn cloudformation_in(&self, region: &str) -> aws_sdk_cloudformation::Client {
        let config = aws_sdk_cloudformation::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            .timeout_config(limits(SLOW_ATTEMPT, SLOW_OPERATION))
            .region(aws_types::region::Region::new(region.to_owned()));
        aws_sdk_cloudformation::Client::from_conf(config.build())
    }

    /// A client of Systems Manager in a region, by other credentials than the caller's if there are any.
    #[must_use]
    pub fn ssm_in(&self, region: &str, credentials: Option<Credentials>) -> aws_sdk_ssm::Client {
        let config = aws_sdk_ssm::config::Builder::from(&self.sdk)
            .region(aws_types::region::Region::new(region.to_owned()));
        let config = match credentials {
            // Nothing that is said of these is about the caller's.
            Some(credentials) => config.credentials_provider(credentials),
            None => config.interceptor(self.keeper.clone()),
        };
        aws_sdk_ssm::Client::from_conf(config.build())
    }

    /// Credentials of a role, for a while.
    ///
    /// # Errors
    /// Why there are none, as AWS says it.
    pub async fn assume(&self, role: &str, external_id: Option<String>) -> Result<Credentials, String> {
        let request = self.sts().assume_role().role_arn(role).role_session_name("sst");
        let answer = request.set_external_id(external_id).send().await.map_err(|error| explain(&error))?;
        let found = answer.credentials.ok_or("STS has answered without credentials")?;
        let token = Some(found.session_token);
        Ok(Credentials::new(found.access_key_id, found.secret_access_key, token, None, "a role"))
    }

    /// A client of DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::config::Builder::from(&self.sdk).interceptor(self.keeper.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client of CloudFormation.
    #[must_use]
    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        let config = aws_sdk_cloudformation::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            .timeout_config(limits(SLOW_ATTEMPT, SLOW_OPERATION));
        aws_sdk_cloudformation::Client::from_conf(config.build())
    }

    /// A client of Lambda, for everything but calling functions.
    #[must_use]
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        let config = aws_sdk_lambda::config::Builder::from(&self.sdk).interceptor(self.keeper.clone());
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// The same, in another region.
    #[must_use]
    pub fn lambda_in(&self, region: String) -> aws_sdk_lambda::Client {
        let config = aws_sdk_lambda::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            .region(aws_types::region::Region::new(region));
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// A client of Lambda that changes functions: each request is made once, since whether it was done has to be looked at when nobody has
    /// answered. Lambda fetches the code from a bucket before it answers.
    #[must_use]
    pub(crate) fn lambda_changing(&self) -> aws_sdk_lambda::Client {
        let config = aws_sdk_lambda::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            .timeout_config(limits(SLOW_ATTEMPT, SLOW_ATTEMPT))
            .retry_config(aws_types::sdk_config::RetryConfig::disabled());
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// A client of Lambda that calls functions, each once and for `limit` at most.
    #[must_use]
    pub fn invoker(&self, limit: Duration) -> aws_sdk_lambda::Client {
        let config = aws_sdk_lambda::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            .timeout_config(limits(limit, limit))
            .retry_config(aws_types::sdk_config::RetryConfig::disabled());
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// A client of IAM.
    #[must_use]
    pub fn iam(&self) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::config::Builder::from(&self.sdk).interceptor(self.keeper.clone());
        aws_sdk_iam::Client::from_conf(config.build())
    }

    /// A client of STS.
    #[must_use]
    pub fn sts(&self) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(&self.sdk).interceptor(self.keeper.clone());
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// A client of the `@connections` endpoint `url`.
    #[must_use]
    pub fn management(&self, url: &str) -> aws_sdk_apigatewaymanagement::Client {
        let config = aws_sdk_apigatewaymanagement::config::Builder::from(&self.sdk)
            .interceptor(self.keeper.clone())
            // The SDK refuses to make others of an endpoint that it is given.
            .use_fips(false)
            .use_dual_stack(false)
            .endpoint_url(url);
        aws_sdk_apigatewaymanagement::Client::from_conf(config.build())
    }
}

/// Gives uploads the time that they need. What else S3 is asked for is answered at once; the body of an object that is read is not part
/// of the attempt, and fails when it stalls.
#[derive(Debug)]
struct Uploads;

#[dyn_dispatch_hint]
impl Intercept for Uploads {
    fn name(&self) -> &'static str {
        "Uploads"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.input().downcast_ref::<PutObjectInput>().is_some() {
            config.interceptor_state().store_put(limits(UPLOAD_ATTEMPT, UPLOAD));
        }
        Ok(())
    }
}
