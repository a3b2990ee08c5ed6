//! Between a program and an HTTP service: everything goes through unchanged, but for the faults that a test asks for.
//!
//! A fault strikes before the service sees the request, in the middle of its body, or after the service has done
//! what it was asked for and only the answer is lost.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::http_message::{Body, Head};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and S3's error code for it.
    Status(u16),
    /// The connection is reset.
    Reset,
    /// Nobody ever answers.
    Hang,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The service never sees the request.
    Before,
    /// The service gets half of the body, then its connection is reset, too.
    Midway,
    /// The service has done what it was asked for; its answer is lost.
    After,
}

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub struct Match {
    method: &'static str,
    part: String,
    skip: usize,
    times: usize,
}

impl Match {
    /// The first request with this method whose path or query contains `part`.
    #[must_use]
    pub fn first(method: &'static str, part: &str) -> Self {
        Self { method, part: part.to_owned(), skip: 0, times: 1 }
    }

    /// Starts with the `nth` such request, from 1.
    #[must_use]
    pub fn nth(self, nth: usize) -> Self {
        Self { skip: nth - 1, ..self }
    }

    /// So many in a row.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Whether a request is struck.
    fn strikes(&mut self, head: &Head) -> bool {
        if self.times == 0 || self.method != head.method() || !head.target().contains(&self.part) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query, without percent-encoding.
    pub target: String,
    /// What happened to it, if it was not simply passed on.
    pub fault: Option<(Fault, When)>,
}

/// A proxy on a port of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    /// Its base URL, for the program.
    pub url: String,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Plan {
    service: String,
    faults: Mutex<Vec<(Fault, When, Match)>>,
    requests: Mutex<Vec<Request>>,
}

impl FaultProxy {
    /// Starts between a program and the service at `host:port`.
    pub async fn start(service: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let plan = Arc::new(Plan { service, faults: Mutex::default(), requests: Mutex::default() });
        let serving = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let plan = Arc::clone(&serving);
                // A program may end in the middle of a request: no failure of the test.
                connections.spawn(async move { drop(plan.serve(client).await) });
            }
        });
        Self { url, plan, accepting }
    }

    /// Asks for a fault.
    pub fn fail(&self, fault: Fault, when: When, requests: Match) {
        self.plan.faults.lock().unwrap().push((fault, when, requests));
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.plan.requests.lock().unwrap().clone()
    }

    /// How many requests a fault has struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.requests().iter().filter(|request| request.fault.is_some()).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Plan {
    /// The requests of one connection, each on its own connection to the service.
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        let (input, mut output) = client.into_split();
        let mut input = BufReader::new(input);
        while let Some(head) = Head::read(&mut input).await? {
            match self.note(&head) {
                None => pass_on(&self.service, &head, &mut input, Some(&mut output)).await?,
                Some((fault, when)) => {
                    match when {
                        // A reset comes before the body, too.
                        When::Before if fault != Fault::Reset => {
                            receive_body(&head, &mut input, &mut output).await?;
                        }
                        When::Before => {}
                        When::Midway => pass_on_half(&self.service, &head, &mut input, &mut output).await?,
                        When::After => {
                            head.invite_body(&mut output).await?;
                            pass_on(&self.service, &head, &mut input, None).await?;
                        }
                    }
                    match fault {
                        Fault::Status(status) => answer(status, &head, &mut output).await?,
                        Fault::Reset => return reset(input.into_inner(), output),
                        Fault::Hang => std::future::pending().await,
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a request down and looks for its fault.
    fn note(&self, head: &Head) -> Option<(Fault, When)> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults
            .iter_mut()
            .find_map(|(fault, when, requests)| requests.strikes(head).then_some((*fault, *when)));
        let request = Request { method: head.method().to_owned(), target: head.target(), fault };
        self.requests.lock().unwrap().push(request);
        fault
    }
}

/// Passes a request on and waits for the whole answer, which `client` gets unless it is to be lost.
async fn pass_on(
    service: &str,
    head: &Head,
    input: &mut BufReader<OwnedReadHalf>,
    client: Option<&mut OwnedWriteHalf>,
) -> io::Result<()> {
    let (answer, mut request) = TcpStream::connect(service).await?.into_split();
    let mut answer = BufReader::new(answer);
    let send = async {
        request.write_all(head.bytes()).await?;
        head.request_body().copy(input, &mut request).await
    };
    let receive = async {
        let mut lost = tokio::io::sink();
        match client {
            Some(client) => receive_answer(head, &mut answer, client).await,
            None => receive_answer(head, &mut answer, &mut lost).await,
        }
    };
    // The service may answer before it has taken the whole body; then there is no one left to take it.
    let (taken, answered) = tokio::join!(send, receive);
    answered.and(taken)
}

async fn receive_answer(
    request: &Head,
    answer: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl AsyncWriteExt + Unpin),
) -> io::Result<()> {
    loop {
        let head = Head::read(answer).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        to.write_all(head.bytes()).await?;
        // "100 Continue" is followed by the answer proper.
        if head.status() >= 200 {
            return head.answer_body(request.method()).copy(answer, to).await;
        }
    }
}

async fn pass_on_half(
    service: &str,
    head: &Head,
    input: &mut BufReader<OwnedReadHalf>,
    output: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let Body::Sized(bytes) = head.request_body() else { panic!("a body of unknown size has no half") };
    let mut service = TcpStream::connect(service).await?;
    service.write_all(head.bytes()).await?;
    head.invite_body(output).await?;
    Body::Sized(bytes / 2).copy(input, &mut service).await?;
    service.set_zero_linger()
}

async fn receive_body(
    head: &Head,
    input: &mut BufReader<OwnedReadHalf>,
    output: &mut OwnedWriteHalf,
) -> io::Result<()> {
    head.invite_body(output).await?;
    head.request_body().copy(input, &mut tokio::io::sink()).await
}

async fn answer(status: u16, request: &Head, client: &mut OwnedWriteHalf) -> io::Result<()> {
    let code = match status {
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        500 => "InternalError",
        503 => "SlowDown",
        _ => "Injected",
    };
    let body = format!("<Error><Code>{code}</Code><Message>asked for by a test</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    if request.method() != "HEAD" {
        client.write_all(body.as_bytes()).await?;
    }
    client.flush().await
}

fn reset(input: OwnedReadHalf, output: OwnedWriteHalf) -> io::Result<()> {
    input.reunite(output).expect("they are of one connection").set_zero_linger()
}
