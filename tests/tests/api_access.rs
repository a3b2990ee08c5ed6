//! Who may read what, and what is remembered of it.

use tempfile::TempDir;
use tests::api::Api;
use tests::program::Program;
use tests::shop::until;
use tokio::process::Command;

/// A folder with an empty lake, an empty profile store and a file of keys.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn program(&self) -> Program {
        let profiles = format!("sqlite://{}", self.path("profiles.db"));
        Api::program(&profiles, &format!("file://{}", self.path("lake")))
    }

    /// The file with a line for each key, made as the README of the API says.
    async fn keys(&self, keys: &[&str]) -> String {
        let file = self.path("api-keys");
        let _ = std::fs::remove_file(&file);
        for key in keys {
            let line =
                r#"printf 'client-of-%s:%s\n' "$1" "$(printf %s "$1" | sha256sum | cut -d' ' -f1)" >>"$2""#;
            let made = Command::new("sh").args(["-c", line, "sh", key, &file]).status().await.unwrap();
            assert!(made.success());
        }
        file
    }
}

async fn status_with(api: &Api, key: &str) -> u16 {
    api.get_with("/events/1", &format!("Authorization: Bearer {key}\r\n")).await.status
}

#[tokio::test]
async fn only_known_keys_read_data_and_sighup_reads_the_keys_again() {
    let place = Place::new();
    let file = place.keys(&["first", "second"]).await;
    let mut api = Api::start_as(place.program().args(["--api-keys-file", &file])).await;

    for path in ["/customer/1", "/summary/2025-01-01", "/summary/2025-01-01/1", "/events/1", "/metrics"] {
        let answer = api.get(path).await;
        let body = r#"{"status":"error","message":"unauthorized","data":{}}"#;
        assert_eq!((answer.status, answer.body.as_str()), (401, body), "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        assert_ne!(api.get_with(path, "Authorization: Bearer second\r\n").await.status, 401, "{path}");
    }
    let unknown = api.get_with("/events/1", "Authorization: Bearer third\r\n").await;
    assert_eq!(unknown.status, 401);
    assert!(unknown.head.contains(r#"www-authenticate: bearer error="invalid_token""#), "{unknown:?}");
    for path in ["/", "/docs", "/healthz", "/openapi.json"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert!(document["paths"]["/events/{customer_id}"]["get"]["responses"]["401"].is_object());

    place.keys(&["second", "third"]).await;
    api.running().hang_up().await;
    until(async || status_with(&api, "third").await == 404, "the keys are not read again").await;
    assert_eq!((status_with(&api, "first").await, status_with(&api, "second").await), (401, 404));

    std::fs::write(&file, "second\n").unwrap();
    api.running().hang_up().await;
    let said = api.running().until_it_says("the keys stay as they were").await;
    assert_eq!(status_with(&api, "third").await, 404);
    assert!(said.contains("client-of-second") && said.contains("api-keys, line 1"), "{said}");
    let ended = api.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(!ended.stderr.contains("Bearer"), "{}", ended.stderr);
}

#[tokio::test]
async fn an_address_that_other_machines_reach_needs_keys_or_insecure() {
    let place = Place::new();
    let file = place.keys(&["first"]).await;
    let everywhere = || place.program().env("API_LISTEN", "0.0.0.0:0");
    let refused = everywhere().run().await;
    assert!(refused.failed_with(2).contains("--api-keys-file"), "{refused:#?}");
    assert_eq!(refused.stdout, "");
    let both = everywhere().args(["--api-keys-file", &file, "--insecure"]).run().await;
    both.failed_with(2);
    let missing = everywhere().args(["--api-keys-file", &place.path("none")]).run().await;
    assert!(missing.failed_with(2).contains("cannot read the keys"), "{missing:#?}");
    std::fs::write(place.path("empty"), "# nobody\n").unwrap();
    let nobody = everywhere().args(["--api-keys-file", &place.path("empty")]).run().await;
    assert!(nobody.failed_with(2).contains("holds no key"), "{nobody:#?}");

    for arguments in [vec!["--api-keys-file", &file], vec!["--insecure"]] {
        let api = Api::start_as(everywhere().args(arguments)).await;
        assert_eq!(api.get("/healthz").await.status, 200);
        assert_eq!(api.terminate().await.code, 0);
    }
}

#[tokio::test]
async fn each_request_has_an_id_in_its_answer_and_in_the_log() {
    let place = Place::new();
    let mut api = Api::start_as(place.program()).await;
    let answer = api.get_with("/events/7?limit=1", "X-Request-Id: from-the-client\r\n").await;
    assert!(answer.head.contains("x-request-id: from-the-client"), "{answer:?}");
    let said = api.running().until_it_says("from-the-client").await;
    let line = said.lines().find(|line| line.contains("from-the-client")).unwrap();
    assert!(line.contains("/events/7") && line.contains("status=404"), "{line}");

    let ids = [api.get("/healthz").await, api.get("/healthz").await].map(|answer| {
        let head = answer.head.clone();
        head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned()
    });
    assert!(ids[0].len() == 32 && ids[0] != ids[1], "{ids:?}");
    api.running().until_it_says(&ids[1]).await;
    assert_eq!(api.terminate().await.code, 0);
}
