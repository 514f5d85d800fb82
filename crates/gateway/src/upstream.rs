//! Upstreams: where they are, how they are trusted, and sending to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection that nobody uses is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// The wire that an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OpenAI's, and what is compatible with it.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

/// A place where calls go.
#[derive(Clone)]
pub struct Upstream {
    /// The base of its addresses, version included: `https://api.openai.com/v1`. A query goes along
    /// with every call, as `?api-version=…` does.
    pub url: Uri,
    /// What it speaks.
    pub wire: Wire,
    /// Certificates to trust besides the usual ones, in PEM.
    pub ca: Option<Vec<u8>>,
    /// Headers that are set on every call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The caller's word for a model → this upstream's.
    pub models: std::collections::BTreeMap<String, String>,
}

impl fmt::Debug for Upstream {
    /// Shows no header: they may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("url", &self.url)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Returns the address of a path below the base, which begins with a slash; what the base has
    /// after its `?` goes along with every call.
    fn address(&self, rest: &str) -> Option<Uri> {
        let base = self.url.path().trim_end_matches('/');
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = Some(format!("{base}{rest}").parse().ok()?);
        with_query(&Uri::from_parts(parts).ok()?, self.url.query())
    }

    /// Returns host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        host(&self.url)
    }
}

/// An address that is called as it stands: that of an MCP server, or of an A2A agent.
#[derive(Clone)]
pub struct Endpoint {
    /// Where it is.
    pub url: Uri,
    /// Certificates to trust besides the usual ones, in PEM.
    pub ca: Option<Vec<u8>>,
    /// Headers that are set on every call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Endpoint {
    /// Shows no header: they may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Returns host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        host(&self.url)
    }
}

/// Returns an address with the query of a request added; none if that makes no address.
pub(crate) fn with_query(url: &Uri, query: Option<&str>) -> Option<Uri> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Some(url.clone());
    };
    let between = if url.query().is_some() { '&' } else { '?' };
    let whole = url.path_and_query().map_or("/", |whole| whole.as_str());
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(format!("{whole}{between}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn host(url: &Uri) -> &str {
    url.authority().map_or("", |authority| authority.as_str())
}

/// Why an upstream cannot be used, or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The certificates that it is to be trusted by cannot be read.
    #[error("the certificates for `{host}` cannot be read: {reason}")]
    Certificates {
        /// The upstream.
        host: String,
        /// Why not.
        reason: String,
    },
    /// There is no such address.
    #[error("`{rest}` makes no address below `{host}`")]
    Address {
        /// The upstream.
        host: String,
        /// The path.
        rest: String,
    },
    /// Nobody answers there, or not as HTTP should.
    #[error("could not reach `{host}`: {reason}")]
    Unreachable {
        /// The upstream.
        host: String,
        /// Why not, to the root.
        reason: String,
        /// Whether no byte of the call can have arrived.
        unsent: bool,
    },
}

/// A client of HTTP and HTTPS that keeps its connections.
pub type Pool = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends, over connections that are kept. Upstreams with certificates of their own have a pool of
/// their own.
#[derive(Clone)]
pub(crate) struct Client {
    usual: Pool,
    own: Arc<Vec<(String, Pool)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client of the places that are called, each with the certificates that it is to be
    /// trusted by besides the usual ones.
    pub(crate) fn new<'a>(
        places: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        connect: Duration,
    ) -> Result<Self, UpstreamError> {
        let usual = pool(roots(), connect);
        let mut own: Vec<(String, Pool)> = Vec::new();
        for (host, pem) in places {
            let Some(pem) = pem else { continue };
            let failed = |reason: String| UpstreamError::Certificates {
                host: host.to_owned(),
                reason,
            };
            let mut roots = roots();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| failed(e.to_string()))?;
                roots.add(certificate).map_err(|e| failed(e.to_string()))?;
            }
            own.push((host.to_owned(), pool(roots, connect)));
        }
        Ok(Self {
            usual,
            own: Arc::new(own),
        })
    }

    /// Sends a call and returns the head of the answer.
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        method: &Method,
        rest: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let host = upstream.host();
        let uri = upstream
            .address(rest)
            .ok_or_else(|| UpstreamError::Address {
                host: host.to_owned(),
                // Keys are given in the query too.
                rest: rest.split('?').next().unwrap_or_default().to_owned(),
            })?;
        let request = request(method, uri, headers, &upstream.headers, body);
        self.exchange(host, request).await
    }

    /// Calls an address of an endpoint's host and returns the head of the answer.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        uri: Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let request = request(method, uri, headers.clone(), &endpoint.headers, body);
        self.exchange(endpoint.host(), request).await
    }

    async fn exchange(
        &self,
        host: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let own = self.own.iter().find(|(of, _)| of == host);
        let pool = own.map_or(&self.usual, |(_, pool)| pool);
        pool.request(request).await.map_err(|error| {
            let unsent = error.is_connect();
            UpstreamError::Unreachable {
                host: host.to_owned(),
                reason: root(&error),
                unsent,
            }
        })
    }
}

/// Returns a client that trusts the usual certificates, for whoever asks a server of ours.
#[must_use]
pub fn plain_client() -> Pool {
    pool(roots(), Duration::from_secs(5))
}

fn request(
    method: &Method,
    uri: Uri,
    headers: HeaderMap,
    set: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    for (name, value) in set {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    request
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

fn pool(roots: RootCertStore, connect: Duration) -> Pool {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(connect));
    http.set_nodelay(true);
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build(https)
}

/// The innermost reason, which is the one that helps.
#[must_use]
pub fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
