//! One request on one connection of its own, and redirects: each step bounded in bytes and in time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, error::Elapsed, sleep_until, timeout};

use crate::config::{ClientConfig, Limits};
use crate::connect::{Connect, Stream};
use crate::tls::{ConfigError, Tls};
use crate::url::{ParseUrlError, Scheme, Url};

/// The most bytes of the head of an answer.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The most fields in it.
pub(crate) const MAX_HEADER_FIELDS: usize = 64;
/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Who asks.
pub(crate) const USER_AGENT: &str = concat!("cce/", env!("CARGO_PKG_VERSION"));

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The path has no form that a URL takes.
    #[error("the request has no URL")]
    Url(#[source] ParseUrlError),
    /// Plain HTTP to a host that is not on loopback, or that nobody asked for.
    #[error("{0} would be reached without TLS")]
    Plain(String),
    /// No connection, or no TLS on it.
    #[error("cannot connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// No connection in time.
    #[error("{host} accepts no connection in {0:?}", timeout)]
    ConnectTimeout {
        /// The host.
        host: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The request could not be sent, or the answer is no HTTP or has too large a head.
    #[error("{host} does not answer in HTTP that is taken")]
    Http {
        /// The host.
        host: String,
        /// What failed.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{host} does not answer in {0:?}", timeout)]
    AnswerTimeout {
        /// The host.
        host: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// A redirect that says nowhere, or what cannot be followed.
    #[error("{host} redirects to nowhere")]
    Redirect {
        /// The host.
        host: String,
        /// What is wrong with the location.
        #[source]
        source: ParseUrlError,
    },
    /// Redirects without end.
    #[error("there are more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// From TLS to plain HTTP.
    #[error("{host} redirects away from TLS")]
    Downgrade {
        /// The host.
        host: String,
    },
}

/// An answer of whatever status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    /// Moves the bytes of the body.
    pub(crate) task: Task,
    /// Whether the host that was asked at first has answered, without a redirect.
    pub(crate) is_direct: bool,
}

/// What requests are sent by.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    connector: Arc<dyn Connect>,
    plain_loopback: Option<Arc<dyn Connect>>,
    tls: Tls,
    pub(crate) limits: Limits,
}

impl Exchange {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            connector: Arc::clone(&config.connector),
            plain_loopback: config.plain_loopback.clone(),
            tls: Tls::new(&config.trust_anchors)?,
            limits: config.limits,
        })
    }

    /// How a host is spoken to.
    pub(crate) fn scheme_for(&self, authority: &crate::authority::Authority) -> Scheme {
        if self.plain_loopback.is_some() && authority.is_loopback() { Scheme::Http } else { Scheme::Https }
    }

    /// Asks for a URL and follows redirects. What authorizes stays with the host that it is for.
    pub(crate) async fn get(
        &self,
        url: &Url,
        accept: &[&'static str],
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, ExchangeError> {
        let mut current = url.clone();
        let mut authorization = authorization;
        for redirects in 0..=MAX_REDIRECTS {
            let answer = self.get_once(&current, accept, authorization).await?;
            let Some(location) = location(&answer) else {
                return Ok(Answer { is_direct: redirects == 0, ..answer });
            };
            let host = current.authority.to_string();
            let redirect = |source| ExchangeError::Redirect { host: host.clone(), source };
            let location = location.to_str().map_err(|_| redirect(ParseUrlError::Characters))?;
            let next = current.join(location).map_err(redirect)?;
            if current.scheme == Scheme::Https && next.scheme == Scheme::Http {
                return Err(ExchangeError::Downgrade { host });
            }
            // Once away, nothing comes back: the way here was another's choice.
            authorization = authorization.filter(|_| next.has_origin_of(url));
            current = next;
        }
        Err(ExchangeError::TooManyRedirects)
    }

    async fn get_once(
        &self,
        url: &Url,
        accept: &[&'static str],
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, ExchangeError> {
        let host = url.authority.to_string();
        let stream = match timeout(self.limits.connect_timeout, self.open(url)).await {
            Ok(stream) => stream?,
            Err(Elapsed { .. }) => {
                return Err(ExchangeError::ConnectTimeout { host, timeout: self.limits.connect_timeout });
            }
        };
        match timeout(self.limits.answer_timeout, ask(stream, url, accept, authorization)).await {
            Ok(answer) => answer.map_err(|source| ExchangeError::Http { host, source }),
            Err(Elapsed { .. }) => {
                Err(ExchangeError::AnswerTimeout { host, timeout: self.limits.answer_timeout })
            }
        }
    }

    async fn open(&self, url: &Url) -> Result<Box<dyn Stream>, ExchangeError> {
        let cannot_connect = |source| ExchangeError::Connect { host: url.authority.to_string(), source };
        let host = url.authority.host();
        match (url.scheme, &self.plain_loopback) {
            (Scheme::Https, _) => {
                let stream = self.connector.connect(host, url.port()).await.map_err(cannot_connect)?;
                self.tls.connect(host, stream).await.map_err(cannot_connect)
            }
            (Scheme::Http, Some(loopback)) if url.authority.is_loopback() => {
                loopback.connect(host, url.port()).await.map_err(cannot_connect)
            }
            (Scheme::Http, _) => Err(ExchangeError::Plain(url.authority.to_string())),
        }
    }
}

/// Where an answer sends who asked.
fn location(answer: &Answer) -> Option<HeaderValue> {
    let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    is_redirect.then(|| answer.headers.get(header::LOCATION).cloned()).flatten()
}

async fn ask(
    stream: Box<dyn Stream>,
    url: &Url,
    accept: &[&'static str],
    authorization: Option<&HeaderValue>,
) -> hyper::Result<Answer> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADER_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    let task = Task::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.path.clone().into();
    let fields = request.headers_mut();
    if let Ok(host) = HeaderValue::try_from(url.authority.to_string()) {
        fields.insert(header::HOST, host);
    }
    fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for media_type in accept {
        fields.append(header::ACCEPT, HeaderValue::from_static(media_type));
    }
    if let Some(authorization) = authorization {
        fields.insert(header::AUTHORIZATION, authorization.clone());
    }
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body, task, is_direct: true })
}

/// A task that ends when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// Drives a connection. Its errors reach who waits for the answer.
    pub(crate) fn spawn<T>(connection: impl Future<Output = hyper::Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(async {
            drop(connection.await);
        }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of an answer, and how long it may be waited for.
#[derive(Debug)]
pub(crate) struct Body {
    body: Incoming,
    _task: Task,
    /// For the next bytes.
    stall_timeout: Duration,
    /// For all that are still to come.
    patience: Duration,
    /// When the wait began, if nothing has come since.
    waiting_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// Why bytes of a body do not come.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or the body is no HTTP.
    #[error("the answer breaks off")]
    Broken(#[source] hyper::Error),
    /// They come too slowly, or not at all.
    #[error("the answer comes too slowly")]
    TooSlow,
    /// There are more than were asked for.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
}

impl Body {
    /// The body of an answer that is to have about `size_bytes`.
    pub(crate) fn new(answer: Answer, limits: &Limits, size_bytes: u64) -> Self {
        Self {
            body: answer.body,
            _task: answer.task,
            stall_timeout: limits.stall_timeout,
            patience: limits.patience(size_bytes),
            waiting_since: None,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// The next bytes; nothing at the end.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.poll_timer(context).map(Err);
            };
            if let Some(since) = self.waiting_since.take() {
                self.patience = self.patience.saturating_sub(since.elapsed());
            }
            match frame {
                None => return Poll::Ready(Ok(None)),
                Some(Err(error)) => return Poll::Ready(Err(BodyError::Broken(error))),
                // Trailers say nothing that is of use.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Poll::Ready(Ok(Some(bytes))),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }

    /// Ready when nothing is waited for any more.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            let wait = self.stall_timeout.min(self.patience);
            self.timer.as_mut().reset(now.checked_add(wait).unwrap_or(now));
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(BodyError::TooSlow)
    }

    /// All bytes, if there are at most `limit_bytes`.
    pub(crate) async fn read_all(mut self, limit_bytes: u64) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        while let Some(bytes) = std::future::poll_fn(|context| self.poll_next(context)).await? {
            let total = (all.len() as u64).saturating_add(bytes.len() as u64);
            if total > limit_bytes {
                return Err(BodyError::TooLong(limit_bytes));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
