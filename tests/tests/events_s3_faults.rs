//! Pipeline C and an S3 that fails, before or after it has done what it was asked for: each record is one row.

use futures::{StreamExt, stream};
use tests::events::assert_exactly_once;
use tests::fault_proxy::{Fault, FaultProxy, Match, When};
use tests::lake::Lake;
use tests::observer::Observer;
use tests::program::Program;
use tests::topic::Topic;
use tests::{long, services, unique_name};

/// Every kind of request that the job makes: method, part of the target, and the one that is struck.
const REQUESTS: &[(&str, &str, &str, usize)] = &[
    ("list the uploads", "GET", "?uploads", 1),
    ("abort an upload", "DELETE", "uploadId=", 1),
    ("read a state", "GET", "/_state/events/", 1),
    ("replace a state", "PUT", "/_state/events/", 3),
    ("begin an upload", "POST", "?uploads", 2),
    ("upload a part", "PUT", "partNumber=", 3),
    ("complete an upload", "POST", "uploadId=", 3),
    ("read a tail", "GET", "/events/event_date=", 2),
];

const RECORDS: u64 = 1_500;
const AT_ONCE: usize = 3;

/// An instance in a group of its own, that commits often.
fn instance(topic: &Topic, lake: &Lake) -> Program {
    let pieces =
        ["--kafka-config", "fetch.message.max.bytes=5000", "--kafka-config", "queued.max.messages.kbytes=5"];
    let program = topic.pipeline_c(&lake.url).args(["--flush-rows", "1"]).args(pieces);
    program.env("KAFKA_GROUP", &unique_name()).env("RUST_LOG", "error")
}

async fn filled() -> Topic {
    let topic = Topic::empty(1).await;
    let days = "--invalid-ratio 0.02 --from 2025-01-01 --to 2025-01-03 --kafka-config batch.num.messages=50";
    topic.produce(&format!("--count {RECORDS} {days}")).await;
    topic
}

/// A run on a lake where another was killed in its second batch, so that there are tails and unfinished uploads.
/// The faults strike `requests`; returns the run's exit code and message after the next one has ended well.
async fn struck(topic: &Topic, faults: &[(Fault, When, usize)]) -> (i32, String) {
    let lake = Lake::empty().await;
    let observer = Observer::of(&lake.url).await;
    let killed = instance(topic, &lake).env("FAILPOINT", "staged=KILL@2").run().await;
    assert_eq!(killed.code, -1, "{killed:#?}");
    let proxy = FaultProxy::start(services::s3()).await;
    for (fault, when, request) in faults {
        let (_, method, part, nth) = REQUESTS[*request];
        proxy.fail(*fault, *when, Match::first(method, part).nth(nth));
    }
    let run = instance(topic, &lake).env("AWS_ENDPOINT_URL", &proxy.url).run().await;
    let all = if run.code == 0 { faults.len() } else { 1 };
    assert!(proxy.struck() >= all, "{faults:?}: {:#?}", proxy.requests());
    let last = instance(topic, &lake).run().await;
    assert_eq!(last.code, 0, "{faults:?}: {last:#?}");
    assert_eq!(observer.stop().await.rows, RECORDS, "{faults:?}");
    assert_exactly_once(topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
    assert_eq!(lake.uploads().await, Vec::<String>::new(), "{faults:?}");
    (run.code, run.stderr)
}

/// The same fault at every kind of request in one run.
async fn struck_everywhere(topic: &Topic, fault: Fault, when: When) -> (i32, String) {
    let with_body = |request: usize| matches!(REQUESTS[request].1, "PUT");
    let when = |request| if when == When::Midway && !with_body(request) { When::Before } else { when };
    let faults: Vec<_> = (0..REQUESTS.len()).map(|request| (fault, when(request), request)).collect();
    struck(topic, &faults).await
}

#[tokio::test]
async fn an_outage_in_the_middle_of_any_request_is_waited_out_whether_it_was_applied_or_not() {
    let topic = filled().await;
    let cases =
        [(Fault::Status(500), When::After), (Fault::Reset, When::After), (Fault::Status(409), When::After)];
    let more = [
        (Fault::Status(503), When::Before),
        (Fault::Reset, When::Midway),
        (Fault::Status(409), When::Before),
    ];
    let more = more.into_iter().filter(|_| long());
    let each = async |(fault, when)| {
        let (code, message) = struck_everywhere(&topic, fault, when).await;
        assert_eq!(code, 0, "{fault:?} {when:?}: {message}");
    };
    stream::iter(cases.into_iter().chain(more)).map(each).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test]
async fn a_condition_that_fails_because_the_request_was_applied_before_is_recognised() {
    let topic = filled().await;
    let conditional = ["replace a state", "complete an upload"];
    let requests = (0..REQUESTS.len()).filter(|request| conditional.contains(&REQUESTS[*request].0));
    let each = async |request| {
        let (code, message) = struck(&topic, &[(Fault::Status(412), When::After, request)]).await;
        assert_eq!(code, 0, "{:?}: {message}", REQUESTS[request]);
    };
    stream::iter(requests).map(each).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Minutes: each fault alone, and requests that are never answered.
#[tokio::test]
async fn each_fault_at_each_request_alone_loses_and_doubles_nothing() {
    if !long() {
        return;
    }
    let topic = filled().await;
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(409),
        Fault::Status(412),
        Fault::Reset,
        Fault::Hang,
    ];
    let cases = (0..REQUESTS.len()).flat_map(|request| {
        faults.into_iter().flat_map(move |fault| {
            [When::Before, When::Midway, When::After].map(|when| (fault, when, request))
        })
    });
    let cases = cases.filter(|(_, when, request)| *when != When::Midway || REQUESTS[*request].1 == "PUT");
    let each = async |case: (Fault, When, usize)| {
        let (code, message) = struck(&topic, &[case]).await;
        eprintln!("{}: {:?} {:?}: exit {code} {message}", REQUESTS[case.2].0, case.0, case.1);
        // A condition that S3 says fails, and does not, ends a run; the next one goes on.
        assert!(code == 0 || (code == 1 && case.0 == Fault::Status(412)), "{case:?}: {message}");
    };
    // Most of them wait.
    stream::iter(cases).map(each).buffer_unordered(2 * AT_ONCE).collect::<()>().await;
}
