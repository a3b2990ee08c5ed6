//! The API while a store goes away under it and comes back.

use tests::api::Api;
use tests::http::Answer;
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes, until};
use tests::tcp_proxy::TcpProxy;
use tests::{expected, services};

/// An API that reaches each store through a line that can be cut, and a path of each.
struct World {
    api: Api,
    cassandra: TcpProxy,
    s3: TcpProxy,
    profile: String,
    summary: String,
    _made: (Shop, Keyspace, Lake),
}

impl World {
    async fn new() -> Self {
        let (shop, keyspace, lake) =
            (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await, Lake::empty().await);
        let a = Program::pipeline_a(&shop.url, &keyspace.url).report();
        let b = Program::pipeline_b(&shop.url, &lake.url).report();
        tokio::join!(a, b);
        let customer = *expected::profiles(&shop).await.keys().next().unwrap();
        let days = expected::summaries(&shop, expected::Amounts::Warned).await;
        let date = days.into_keys().next().unwrap().0;
        let (cassandra, s3) =
            (TcpProxy::start(services::cassandra()).await, TcpProxy::start(services::s3()).await);
        let program = Api::program(&keyspace.at(&cassandra.address), &lake.url)
            .env("AWS_ENDPOINT_URL", &format!("http://{}", s3.address))
            .env("RUST_LOG", "error");
        let api = Api::start_as(program).await;
        let (profile, summary) = (format!("/customer/{customer}"), format!("/summary/{date}"));
        let world = Self { api, cassandra, s3, profile, summary, _made: (shop, keyspace, lake) };
        world.until_both_answer().await;
        world
    }

    async fn until_both_answer(&self) {
        until(async || self.status(&self.profile).await == 200, "profiles do not come back").await;
        until(async || self.status(&self.summary).await == 200, "summaries do not come back").await;
        until(async || self.status("/readyz").await == 200, "it is not ready again").await;
    }

    async fn status(&self, path: &str) -> u16 {
        self.api.get(path).await.status
    }
}

fn assert_unavailable(answer: &Answer) {
    let body = r#"{"status":"error","message":"unavailable","data":{}}"#;
    assert_eq!((answer.status, answer.body.as_str()), (503, body));
    assert!(answer.head.contains("retry-after: "), "{answer:?}");
}

#[tokio::test]
async fn without_cassandra_profiles_are_unavailable_and_the_rest_goes_on() {
    let world = World::new().await;
    world.cassandra.cut();
    assert_unavailable(&world.api.get(&world.profile).await);
    assert_eq!(world.status(&world.summary).await, 200);
    assert_eq!(world.api.get("/readyz").await.json()["data"]["profiles"], "unreachable");
    assert_eq!(world.api.get("/readyz").await.json()["data"]["lake"], "ok");
    world.cassandra.restore();
    world.until_both_answer().await;
    assert_eq!(world.api.terminate().await.code, 0);
}

#[tokio::test]
async fn without_s3_nothing_is_answered_from_an_old_listing_and_profiles_go_on() {
    let world = World::new().await;
    world.s3.cut();
    // What was listed within the last seconds still counts; 503 comes once that is too old.
    until(async || world.status(&world.summary).await == 503, "old answers are still given").await;
    assert_unavailable(&world.api.get(&world.summary).await);
    assert_eq!(world.status(&world.profile).await, 200);
    assert_eq!(world.api.get("/readyz").await.json()["data"]["lake"], "unreachable");
    world.s3.restore();
    world.until_both_answer().await;
    assert_eq!(world.api.terminate().await.code, 0);
}
