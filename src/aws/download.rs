//! Files that a service gives a signed URL for.

use std::time::Duration;

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextMut, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

use super::{Aws, chain};

/// How long one may take. One that stalls fails within seconds.
const PATIENCE: Duration = Duration::from_secs(300);

impl Aws {
    /// Writes what is at a signed `url` of S3 into a file: `most` bytes at most.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) async fn download(
        &self,
        url: &str,
        file: &mut (impl std::io::Write + Send),
        most: u64,
    ) -> Result<(), String> {
        let read = async {
            // What the request is for is in the URL, signature included.
            let request = self.s3().get_object().bucket("signed").key("signed").customize();
            let object = request.interceptor(Signed(url.to_owned())).send().await;
            let mut body = object.map_err(|error| chain(&error))?.body;
            let mut left = most;
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| chain(&error))?;
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                left = left.checked_sub(length).ok_or_else(|| format!("it is larger than {most} bytes"))?;
                file.write_all(&piece).map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(result) => result,
            Err(_) => Err(format!("it takes longer than {} s", PATIENCE.as_secs())),
        }
    }
}

/// Sends a request to a URL that is signed already.
#[derive(Debug)]
struct Signed(String);

#[dyn_dispatch_hint]
impl Intercept for Signed {
    fn name(&self) -> &'static str {
        "Signed"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_uri(self.0.as_str())?;
        // A request with two signatures is refused.
        let names: Vec<String> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
        let is_of_the_other = |name: &String| name == "authorization" || name.starts_with("x-amz-");
        for name in names.into_iter().filter(is_of_the_other) {
            request.headers_mut().remove(name);
        }
        Ok(())
    }
}
