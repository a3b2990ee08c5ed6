//! The API as a running program.

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::program::{Finished, Program, Running};
use crate::shop::until;

/// The program `api` on a free port.
#[derive(Debug)]
pub struct Api {
    running: Running,
    address: String,
}

impl Api {
    /// Starts it and waits until it is ready.
    pub async fn start(profiles: &str, lake: &str) -> Self {
        let api = Self::start_unready(profiles, lake).await;
        until(async || api.get("/readyz").await.status == 200, "the API is not ready").await;
        api
    }

    /// Starts it and waits until it listens.
    pub async fn start_unready(profiles: &str, lake: &str) -> Self {
        let arguments = ["--listen", "127.0.0.1:0", "--profiles", profiles, "--lake", lake];
        let mut running = Program::new("api").args(arguments).start();
        let line = running.next_line().await;
        let address = line.strip_prefix("listening on http://").expect("it tells its address").to_owned();
        Self { running, address }
    }

    /// Its answer.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(&self.address, path).await
    }

    /// The data of its answer, which has to be a success with this message.
    pub async fn data(&self, path: &str, message: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{path}: {answer:?}");
        let mut body = answer.json();
        assert_eq!((&body["status"], &body["message"]), (&json!("success"), &json!(message)), "{path}");
        body["data"].take()
    }

    /// Ends it with SIGTERM.
    pub async fn terminate(self) -> Finished {
        self.running.terminate().await
    }
}
