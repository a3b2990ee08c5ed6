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
        // Nobody reads its log, which would fill the pipe.
        Self::start_as(Self::program(profiles, lake).env("RUST_LOG", "info,access=off")).await
    }

    /// The program on a free port, to be given more arguments.
    #[must_use]
    pub fn program(profiles: &str, lake: &str) -> Program {
        let program = Program::new("api").env("API_LISTEN", "127.0.0.1:0");
        program.args(["--profiles", profiles, "--lake", lake])
    }

    /// Starts `program` and waits until it listens.
    pub async fn start_as(program: Program) -> Self {
        let mut running = program.start();
        let line = running.next_line().await;
        let address = line.strip_prefix("listening on http://").expect("it tells its address").to_owned();
        Self { running, address }
    }

    /// Its answer.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(&self.address, path).await
    }

    /// Its answer to a request with these headers, each with its end of line.
    pub async fn get_with(&self, path: &str, headers: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", self.address);
        http::request(&self.address, &request).await
    }

    /// Where it is, for other programs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The program itself.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
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
