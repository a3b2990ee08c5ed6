//! What `--help` says.

use tests::program::Program;

/// Settings whose values are secrets or may hold one.
const SECRETS: [&str; 4] = ["SOURCE_URL", "PROFILES_URL", "SCHEMA_REGISTRY_URL", "KAFKA_CONFIG"];

async fn help(name: &str, subcommand: &[&str]) -> String {
    let arguments = || subcommand.iter().copied().chain(["--help"]);
    let program = Program::new(name).without_env().env("COLUMNS", "100").args(arguments());
    let finished = program.run().await;
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{finished:#?}");

    let mut with_secrets = Program::new(name).env("COLUMNS", "100").args(arguments());
    for variable in SECRETS {
        with_secrets = with_secrets.env(variable, "mysql://etl:s3cret@db/shop");
    }
    let shown = with_secrets.run().await.stdout;
    assert!(!shown.contains("s3cret"), "{shown}");
    finished.stdout
}

macro_rules! says_what_it_takes {
    ($($test:ident: $program:literal $($subcommand:literal)*;)*) => {$(
        #[tokio::test]
        async fn $test() {
            insta::assert_snapshot!(stringify!($test), help($program, &[$($subcommand),*]).await);
        }
    )*};
}

says_what_it_takes! {
    producer: "producer";
    producer_seed: "producer" "seed";
    producer_append: "producer" "append";
    producer_events: "producer" "events";
    pipeline_a: "pipeline-a";
    pipeline_a_verify: "pipeline-a" "verify";
    pipeline_a_quarantine: "pipeline-a" "quarantine";
    pipeline_a_quarantine_list: "pipeline-a" "quarantine" "list";
    pipeline_a_quarantine_show: "pipeline-a" "quarantine" "show";
    pipeline_a_quarantine_retry: "pipeline-a" "quarantine" "retry";
    pipeline_b: "pipeline-b";
    pipeline_b_verify: "pipeline-b" "verify";
    pipeline_b_quarantine_retry: "pipeline-b" "quarantine" "retry";
    pipeline_c: "pipeline-c";
    pipeline_c_status: "pipeline-c" "status";
    pipeline_c_verify: "pipeline-c" "verify";
    pipeline_c_replay_malformed: "pipeline-c" "replay-malformed";
    pipeline_c_compact: "pipeline-c" "compact";
    api: "api";
    demo: "demo";
}
