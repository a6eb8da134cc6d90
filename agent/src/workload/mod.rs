//! What a container may ask of the guest: SNP reports about it, and the policy that it runs under.
//!
//! HTTP on the loopback interface, with the paths of ACI's SKR side-car. Containers of a guest share its
//! report: a caller tells evidence of its own apart by the runtime data it binds.

mod attest;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attestation::source::ReportSource;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use attest::AttestError;

/// The most connections of workloads at once.
const CONNECTIONS_MAX: usize = 32;
/// The longest request body, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// A caller that sends no request within this time is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection lives no longer than this.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What the API serves from.
struct Api {
    reports: Arc<dyn ReportSource>,
    /// The secure processor serves one request at a time.
    one_report: Arc<Semaphore>,
    policy: Bytes,
}

/// Opens the API.
///
/// # Errors
///
/// When the address cannot be bound.
pub(crate) async fn open(
    address: SocketAddr,
    reports: Arc<dyn ReportSource>,
    policy: Arc<[u8]>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let policy = Bytes::copy_from_slice(&policy);
    let api = Arc::new(Api { reports, one_report: Arc::new(Semaphore::new(1)), policy });
    tokio::spawn(accept(listener, api));
    Ok(())
}

async fn accept(listener: TcpListener, api: Arc<Api>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&connections).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, Arc::clone(&api), slot));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: TcpStream, api: Arc<Api>, _slot: OwnedSemaphorePermit) {
    let service = service_fn(|request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(BODY_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong on a workload's connection is the workload's to see.
    let _ended = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

impl Api {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/status") => json(StatusCode::OK, &serde_json::json!({ "message": "Status OK" })),
            (&Method::GET, "/policy") => {
                respond(StatusCode::OK, "text/plain; charset=utf-8", self.policy.clone())
            }
            (&Method::POST, "/attest/raw") => match Limited::new(body, BODY_MAX_BYTES).collect().await {
                Ok(body) => self.attest(&body.to_bytes()).await,
                Err(_) => {
                    problem(StatusCode::PAYLOAD_TOO_LARGE, "the request body has more than 65,536 bytes")
                }
            },
            _ => respond(StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"404 page not found")),
        }
    }

    async fn attest(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let data = match attest::report_data(body) {
            Ok(data) => data,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &crate::reply::chain(&error)),
        };
        match self.report(data).await {
            Ok(report) => json(StatusCode::OK, &serde_json::json!({ "report": report })),
            Err(error) => problem(StatusCode::FORBIDDEN, &crate::reply::chain(&error)),
        }
    }

    async fn report(&self, data: attestation::ReportData) -> Result<String, AttestError> {
        let turn = Arc::clone(&self.one_report).acquire_owned().await.map_err(|_| AttestError::Stopped)?;
        let reports = Arc::clone(&self.reports);
        let ask = move || {
            let report = reports.report(&data);
            // Attack: callers that hang up while the processor is busy. Were the turn theirs, each would leave a thread
            // and the next one another.
            drop(turn);
            report
        };
        let report = tokio::task::spawn_blocking(ask)
            .await
            .map_err(|_| AttestError::Stopped)?
            .map_err(AttestError::Report)?;
        Ok(attest::hexadecimal(report.as_bytes()))
    }
}

fn problem(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json(status, &serde_json::json!({ "error": message }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    respond(status, "application/json; charset=utf-8", Bytes::from(value.to_string()))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use attestation::source::ReportError;
    use attestation::{Report, ReportData};

    use super::*;

    /// A processor that answers when it is told to.
    struct Slow {
        began: tokio::sync::mpsc::UnboundedSender<()>,
        busy: AtomicUsize,
        most: AtomicUsize,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl ReportSource for Slow {
        fn report(&self, _: &ReportData) -> Result<Report, ReportError> {
            let busy = self.busy.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            self.most.fetch_max(busy, Ordering::SeqCst);
            self.began.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
            self.busy.fetch_sub(1, Ordering::SeqCst);
            Err(ReportError::OpenDevice(io::ErrorKind::NotFound.into()))
        }

        fn name(&self) -> &'static str {
            "slow"
        }
    }

    #[tokio::test]
    async fn callers_that_hang_up_leave_one_request_to_the_processor() {
        let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let (release, go_on) = mpsc::channel();
        let (busy, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let source = Arc::new(Slow { began, busy, most, go_on: Mutex::new(go_on) });
        let reports: Arc<dyn ReportSource> = source.clone();
        let api = Api { reports, one_report: Arc::new(Semaphore::new(1)), policy: Bytes::new() };
        let data = || ReportData::new([7; 64]);
        tokio::select! {
            biased;
            _ = api.report(data()) => panic!("it answered before it was told to"),
            _ = begun.recv() => {}
        }
        for _ in 0..8 {
            // Time enough for another request to begin, if one could.
            let patience = Duration::from_millis(10);
            assert!(tokio::time::timeout(patience, api.report(data())).await.is_err());
        }
        // For the one that was given up, and for the one that comes now.
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(matches!(api.report(data()).await, Err(AttestError::Report(_))));
        assert_eq!(source.most.load(Ordering::SeqCst), 1);
    }
}
