//! A collector of OpenTelemetry traces on loopback, which stores them or discards them.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, async_trait};

/// The stored requests, oldest first.
type Requests = Vec<ExportTraceServiceRequest>;

/// A running collector. It stops when it is dropped.
pub struct Collector {
    /// Its URL, for `--tracing-endpoint`.
    pub endpoint: String,
    /// The stored requests.
    requests: watch::Receiver<Requests>,
    /// The task of the server.
    serving: JoinHandle<()>,
}

/// The gRPC service.
struct Service {
    /// The stored requests.
    requests: watch::Sender<Requests>,
    /// Stores requests, or discards them.
    stores: bool,
}

#[async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.stores {
            self.requests.send_modify(|requests| requests.push(request.into_inner()));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts a collector that stores all spans, on a free port.
    pub async fn start() -> Self {
        Self::start_with(true).await
    }

    /// Starts a collector that discards all spans: for more than there is memory for.
    pub async fn start_discarding() -> Self {
        Self::start_with(false).await
    }

    /// Starts the server.
    async fn start_with(stores: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = watch::channel(Requests::new());
        let server =
            Server::builder().add_service(TraceServiceServer::new(Service { requests: sender, stores }));
        let serving = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { endpoint, requests, serving }
    }

    /// Returns every span until now.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.borrow();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Returns the attributes of the resources that made the spans, each with its value.
    pub fn resource(&self) -> Vec<(String, String)> {
        let requests = self.requests.borrow();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let attributes = resources.filter_map(|spans| spans.resource.as_ref()).flat_map(|of| &of.attributes);
        attributes
            .map(|pair| (pair.key.clone(), text(pair.value.as_ref().and_then(|value| value.value.as_ref()))))
            .collect()
    }

    /// Returns every stored request as text: its Protobuf encoding, in which strings are readable.
    pub fn bytes(&self) -> String {
        let bytes: Vec<u8> = self.requests.borrow().iter().flat_map(Message::encode_to_vec).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Returns the value of that attribute as text; empty when there is none.
pub fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == name);
    text(found.and_then(|pair| pair.value.as_ref()?.value.as_ref()))
}

/// Formats a value; empty when there is none.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
