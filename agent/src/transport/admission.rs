//! How much of the host's traffic may be under way at once.

use std::collections::HashMap;
use std::sync::Arc;

use proto::kata::METHODS;
use proto::kata::bounds::{REQUEST_PARTS_MAX, check};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ttrpc::r#async::{MethodHandler, Service, TtrpcContext};
use ttrpc::{Code, Request, Response, get_status};

/// The most requests under way. Long polls (waits, reads of output) count.
const REQUESTS_MAX: usize = 512;
/// The most payload bytes of requests under way, in KiB. A decoded message takes more memory than its
/// bytes, so this is a fraction of the guest's memory.
const PAYLOAD_MAX_KIB: u32 = 16 * 1024;

/// Refuses requests beyond a bound on their number and on their bytes, before a byte is decoded.
///
/// Attack: a host that opens requests faster than the guest answers, to exhaust its memory.
#[derive(Clone)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    payload_kib: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            payload_kib: Arc::new(Semaphore::new(PAYLOAD_MAX_KIB as usize)),
        }
    }

    fn admit(&self, payload_bytes: usize) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let kib = u32::try_from(payload_bytes.div_ceil(1024)).ok()?;
        let request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let payload = Arc::clone(&self.payload_kib).try_acquire_many_owned(kib).ok()?;
        Some((request, payload))
    }

    /// Puts the bound before every method of `services`, and answers UNIMPLEMENTED for those in `unserved`.
    pub(crate) fn guard(
        &self,
        services: HashMap<String, Service>,
        unserved: &'static [(&'static str, &'static str)],
    ) -> HashMap<String, Service> {
        let guard = |service: &str, method: String, inner: Box<dyn MethodHandler + Send + Sync>| {
            let known = METHODS.iter().find(|known| known.service == service && known.name == method);
            let handler: Box<dyn MethodHandler + Send + Sync> =
                match (unserved.iter().find(|(unserved, _)| *unserved == method), known) {
                    (None, Some(known)) => Box::new(Admitted {
                        admission: self.clone(),
                        request_type: known.request_type,
                        inner,
                    }),
                    (Some((method, reason)), _) => Box::new(Unserved { method, reason }),
                    (None, None) => {
                        Box::new(Unserved { method: "it", reason: "the contract does not have it" })
                    }
                };
            (method, handler)
        };
        services
            .into_iter()
            .map(|(name, service)| {
                let methods =
                    service.methods.into_iter().map(|(method, inner)| guard(&name, method, inner)).collect();
                (name, Service { methods, streams: service.streams })
            })
            .collect()
    }
}

struct Admitted {
    admission: Admission,
    request_type: &'static str,
    inner: Box<dyn MethodHandler + Send + Sync>,
}

#[async_trait::async_trait]
impl MethodHandler for Admitted {
    async fn handler(&self, context: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let Some(_admitted) = self.admission.admit(request.payload.len()) else {
            return Ok(refusal(Code::RESOURCE_EXHAUSTED, "too many requests are under way"));
        };
        // Attack: a small message of many parts that takes a hundred times its bytes once it is decoded.
        if let Err(error) = check(self.request_type, &request.payload, REQUEST_PARTS_MAX) {
            return Ok(refusal(Code::INVALID_ARGUMENT, error));
        }
        self.inner.handler(context, request).await
    }
}

struct Unserved {
    method: &'static str,
    reason: &'static str,
}

#[async_trait::async_trait]
impl MethodHandler for Unserved {
    async fn handler(&self, _: TtrpcContext, _: Request) -> ttrpc::Result<Response> {
        Ok(refusal(Code::UNIMPLEMENTED, format!("{} is refused: {}", self.method, self.reason)))
    }
}

/// A response without a payload. An `Err` of a handler would lose its code on the way.
fn refusal(code: Code, message: impl ToString) -> Response {
    let mut response = Response::new();
    response.set_status(get_status(code, message));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_their_bytes_are_bounded() {
        let admission = Admission::new();
        let many: Vec<_> = std::iter::repeat_with(|| admission.admit(1)).take(REQUESTS_MAX).collect();
        assert!(many.iter().all(Option::is_some));
        assert!(admission.admit(0).is_none());
        drop(many);
        let large: Vec<_> = std::iter::repeat_with(|| admission.admit(4 << 20)).take(4).collect();
        assert!(large.iter().all(Option::is_some));
        assert!(admission.admit(1).is_none());
        assert!(admission.admit(0).is_some());
        drop(large);
        assert!(admission.admit(usize::MAX).is_none());
    }
}
