//! Pipeline C and a topic that is made anew, grows, or loses what was not read yet.

use tests::events::assert_exactly_once;
use tests::lake::Lake;
use tests::long;
use tests::topic::Topic;

#[tokio::test]
async fn a_topic_made_anew_is_noticed_whatever_its_length_and_is_read_from_its_beginning_where_that_is_asked_for()
 {
    for (old, new) in [(300, 900), (900, 300)] {
        let (topic, lake) =
            (Topic::filled(&format!("--count {old} --invalid-ratio 0.05")).await, Lake::empty().await);
        topic.pipeline_c(&lake.url).report().await;
        topic.make_anew().await;
        topic.produce(&format!("--count {new} --invalid-ratio 0.05")).await;
        let before = data(&lake).await;

        let stopped = topic.pipeline_c(&lake.url).run().await;
        let message = stopped.failed_with(1);
        assert!(message.contains("made anew") && message.contains("--on-new-topic restart"), "{message}");
        assert_eq!(data(&lake).await, before);
        let differs = topic.tool("verify", &lake.url).run().await;
        differs.failed_with(3);
        assert!(differs.stdout.contains("other_topic"), "{differs:#?}");

        let restarted = topic.pipeline_c(&lake.url).args(["--on-new-topic", "restart"]).report().await;
        assert_eq!(restarted["read"], new, "{restarted}");
        let proof = topic.verify(&lake.url).await;
        let sum = |field: &str| -> u64 {
            proof["partitions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|partition| partition[field].as_u64().unwrap())
                .sum()
        };
        assert_eq!((sum("records"), sum("unproven_rows")), (new, old), "{proof}");
    }
}

/// The data files, without what a run writes about itself.
async fn data(lake: &Lake) -> Vec<(String, String)> {
    let versions = lake.versions().await;
    versions.into_iter().filter(|(path, _)| !path.starts_with("_state")).collect()
}

#[tokio::test]
async fn a_topic_made_anew_with_as_many_records_is_noticed_though_there_is_nothing_to_read() {
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    topic.produce("--count 200").await;
    topic.pipeline_c(&lake.url).report().await;
    topic.make_anew().await;
    topic.produce("--count 200").await;
    let stopped = topic.pipeline_c(&lake.url).run().await;
    assert!(stopped.failed_with(1).contains("made anew"), "{stopped:#?}");
    let restarted = topic.pipeline_c(&lake.url).args(["--on-new-topic", "restart"]).report().await;
    assert_eq!(restarted["read"], 200, "{restarted}");
}

#[tokio::test]
async fn an_instance_with_nothing_to_do_notices_that_its_topic_was_made_anew_with_as_many_records() {
    if !long() {
        return;
    }
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    topic.produce("--count 200").await;
    let mut staying = topic.pipeline_c(&lake.url).args(["--every", "500ms"]).start();
    assert_eq!(staying.next_report().await["read"], 200);
    staying.pause().await;
    topic.make_anew().await;
    topic.produce("--count 200").await;
    staying.wake().await;
    staying.until_it_says("made anew").await;
    assert_eq!(staying.terminate().await.code, 1);
}

#[tokio::test]
async fn a_topic_made_anew_under_an_instance_at_work_is_noticed_before_any_of_it_is_committed() {
    for more in [300, 900] {
        let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
        topic.produce("--count 300").await;
        let mut staying = topic.pipeline_c(&lake.url).args(["--every", "500ms"]).start();
        let mut read = 0;
        while read < 300 {
            read += staying.next_report().await["read"].as_u64().unwrap();
        }
        let before = data(&lake).await;
        // It sleeps while the other topic becomes longer than what it has read, and then reads on.
        staying.pause().await;
        topic.make_anew().await;
        topic.produce(&format!("--count {more} --invalid-ratio 0.05")).await;
        staying.wake().await;
        // Where the log ends too early it stops first because of that.
        while !staying.next_report().await["error"].as_str().is_some_and(|error| error.contains("made anew"))
        {
        }
        assert_eq!(data(&lake).await, before);
        staying.terminate().await;

        let restarted = topic.pipeline_c(&lake.url).args(["--on-new-topic", "restart"]).report().await;
        assert_eq!(restarted["read"], more, "{restarted}");
        let proof = topic.verify(&lake.url).await;
        let records =
            proof["partitions"].as_array().unwrap().iter().map(|it| it["records"].as_u64().unwrap());
        assert_eq!(records.sum::<u64>(), more, "{proof}");
    }
}

#[tokio::test]
async fn partitions_that_are_added_are_read_by_an_instance_at_work() {
    let (mut topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    topic.produce("--count 100").await;
    let refresh = ["--every", "1s", "--kafka-config", "topic.metadata.refresh.interval.ms=1000"];
    let mut staying = topic.pipeline_c(&lake.url).args(refresh).start();
    while staying.next_report().await["read"] == 0 {}
    topic.add_partitions(3).await;
    topic.produce("--count 600 --invalid-ratio 0.05").await;
    let mut read = 0;
    while read < 600 {
        read += staying.next_report().await["read"].as_u64().unwrap();
    }
    let stopped = staying.terminate().await;
    assert_eq!((stopped.code, stopped.stdout.as_str()), (0, ""), "all had been said: {stopped:#?}");
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_gap_stops_the_run_until_its_loss_is_accepted_and_is_not_forgotten() {
    let (topic, lake) = (Topic::filled("--count 400").await, Lake::empty().await);
    topic.pipeline_c(&lake.url).report().await;
    topic.produce("--count 800").await;
    topic.delete_before(0, 150).await;
    let stopped = topic.pipeline_c(&lake.url).run().await;
    assert!(stopped.failed_with(1).contains("--on-gap skip"), "{stopped:#?}");
    let skipped = topic.pipeline_c(&lake.url).args(["--on-gap", "skip"]).report().await;
    let proof = topic.verify(&lake.url).await;
    let lost = proof["partitions"][0]["lost_offsets"].as_u64().unwrap();
    assert!(lost > 0, "{proof}");
    let read = skipped["read"].as_u64().unwrap();
    assert!(read < 800 && read + lost >= 800, "{skipped} {proof}");
}
