//! A collector of OpenTelemetry traces on loopback, which keeps what it gets or forgets it.

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

type Requests = Vec<ExportTraceServiceRequest>;

/// The collector; ends when dropped.
pub struct Collector {
    /// Where it is, for `--tracing-endpoint`.
    pub endpoint: String,
    requests: watch::Receiver<Requests>,
    serving: JoinHandle<()>,
}

struct Service {
    requests: watch::Sender<Requests>,
    keeps: bool,
}

#[async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.keeps {
            self.requests.send_modify(|requests| requests.push(request.into_inner()));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a port of its own.
    pub async fn start() -> Self {
        Self::that(true).await
    }

    /// The same, but keeps nothing: for more spans than there is memory for.
    pub async fn start_forgetting() -> Self {
        Self::that(false).await
    }

    async fn that(keeps: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = watch::channel(Requests::new());
        let server =
            Server::builder().add_service(TraceServiceServer::new(Service { requests: sender, keeps }));
        let serving = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { endpoint, requests, serving }
    }

    /// Every span until now.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.borrow();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// What it is told of the program that made them: each attribute and its value.
    pub fn resource(&self) -> Vec<(String, String)> {
        let requests = self.requests.borrow();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let attributes = resources.filter_map(|spans| spans.resource.as_ref()).flat_map(|of| &of.attributes);
        attributes
            .map(|pair| (pair.key.clone(), text(pair.value.as_ref().and_then(|value| value.value.as_ref()))))
            .collect()
    }

    /// Every byte that it got, as text.
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

/// The value of that attribute as text; empty when it is not there.
pub fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == name);
    text(found.and_then(|pair| pair.value.as_ref()?.value.as_ref()))
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
