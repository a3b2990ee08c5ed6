//! What a comparison has found, for people and programs.

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;

use crate::run::Exit;
use crate::schema::TxnId;
use crate::settings::OutputFormat;
use crate::source::Job;

/// Differences that are listed; the others are counted.
const LISTED: usize = 100;

/// The same of one part, so that none takes all the room.
const LISTED_BRIEFLY: usize = 10;

/// A difference: a line for people, an object for programs.
pub trait Found: Display + Serialize {}
impl<D: Display + Serialize> Found for D {}

/// A column that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub column: &'static str,
    /// What stands there, and what should; `None` for personal data, which is not shown.
    #[serde(flatten)]
    pub values: Option<Values>,
}

/// Two values that should be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Values {
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl Column {
    /// A column whose values may be shown, if they differ.
    pub fn compare(column: &'static str, found: impl Display, expected: impl Display) -> Option<Self> {
        let values = Values { found: found.to_string(), expected: expected.to_string() };
        (values.found != values.expected).then_some(Self { column, values: Some(values) })
    }

    /// A column with personal data, if its values differ.
    #[must_use]
    pub fn compare_hidden(column: &'static str, found: &str, expected: &str) -> Option<Self> {
        (found != expected).then_some(Self { column, values: None })
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.values {
            Some(Values { found, expected }) => {
                write!(f, "{} is {found}, should be {expected}", self.column)
            }
            None => write!(f, "{} differs", self.column),
        }
    }
}

/// The differences of one comparison.
#[derive(Debug)]
pub struct Findings<D> {
    listed: Vec<D>,
    count: u64,
    limit: usize,
}

impl<D> Default for Findings<D> {
    fn default() -> Self {
        Self { listed: Vec::new(), count: 0, limit: LISTED }
    }
}

impl<D> Findings<D> {
    /// For a part of what is compared: lists no more than ten.
    #[must_use]
    pub fn brief() -> Self {
        Self { limit: LISTED_BRIEFLY, ..Self::default() }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the differences of a part.
    pub fn append(&mut self, part: Self) {
        self.count += part.count;
        let room = self.limit - self.listed.len();
        self.listed.extend(part.listed.into_iter().take(room));
    }

    /// Notes differences of which there are more than are listed.
    pub fn add_unlisted(&mut self, count: u64) {
        self.count += count;
    }

    /// Notes a difference.
    pub fn add(&mut self, difference: impl Into<D>) {
        self.count += 1;
        if self.listed.len() < self.limit {
            self.listed.push(difference.into());
        }
    }
}

/// The outcome of a comparison.
#[derive(Debug)]
pub struct Compared<D> {
    /// What was compared, as a plural: `customers`, `dates`.
    pub what: &'static str,
    /// How many of them.
    pub checked: u64,
    /// Those that differ only because rows came after the last run: the next one brings them up to date.
    pub waiting: u64,
    /// Rows count up to here.
    pub to_txn_id: TxnId,
    /// What differs.
    pub findings: Findings<D>,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Line<'a, D> {
    pipeline: &'a str,
    to_txn_id: TxnId,
    checked: u64,
    waiting: u64,
    differing: u64,
    differences: &'a [D],
}

impl<D: Found> Compared<D> {
    /// The job has not written anything yet.
    pub(super) fn nothing() -> Self {
        Self { what: "", checked: 0, waiting: 0, to_txn_id: TxnId(0), findings: Findings::default() }
    }

    pub(super) fn print(&self, job: Job, output: OutputFormat) -> Exit {
        let text = match output {
            OutputFormat::Text => self.text(job.name()),
            OutputFormat::Json => self.json(job.name()),
            OutputFormat::None => String::new(),
        };
        // Whoever reads may have gone; the exit code says it too.
        let _ = writeln!(std::io::stdout(), "{text}");
        if self.findings.count == 0 { Exit::Done } else { Exit::Refused }
    }

    fn json(&self, pipeline: &str) -> String {
        let line = Line {
            pipeline,
            to_txn_id: self.to_txn_id,
            checked: self.checked,
            waiting: self.waiting,
            differing: self.findings.count,
            differences: &self.findings.listed,
        };
        serde_json::to_string(&line).expect("a difference has only string keys")
    }

    fn text(&self, pipeline: &str) -> String {
        let Self { what, checked, waiting, to_txn_id, findings } = self;
        if *to_txn_id == TxnId(0) {
            return format!(
                "{pipeline} has not committed a run on this source: there is nothing to verify yet"
            );
        }
        let mut lines: Vec<String> = findings.listed.iter().map(ToString::to_string).collect();
        let more = findings.count - lines.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let waits = match waiting {
            0 => String::new(),
            _ => format!("; {waiting} wait for the next run, since rows have come after the last one"),
        };
        let differing = match findings.count {
            0 => "nothing differs".to_owned(),
            1 => "1 difference".to_owned(),
            count => format!("{count} differences"),
        };
        lines.push(format!(
            "{pipeline}: {checked} {what} compared up to txn_id {to_txn_id}, {differing}{waits}"
        ));
        if findings.count > 0 {
            lines.push(format!(
                "Rows in quarantine that were corrected after the last run leave it with the next {pipeline}. Other rows \
                 that were changed or deleted in the source are not new to it: {pipeline} --full recomputes everything."
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(findings: Findings<String>) -> Compared<String> {
        Compared { what: "dates", checked: 3, waiting: 1, to_txn_id: TxnId(9), findings }
    }

    #[test]
    fn the_first_differences_are_listed_and_all_are_counted() {
        let (mut whole, mut part) = (Findings::default(), Findings::brief());
        (0..99).for_each(|n| whole.add(n.to_string()));
        (0..12).for_each(|n| part.add(format!("of a part: {n}")));
        whole.append(part);
        let text = compared(whole).text("pipeline-b");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[98..101], ["98", "of a part: 0", "and 11 more"]);
        let sum = "pipeline-b: 3 dates compared up to txn_id 9, 111 differences; 1 wait for the next run, since \
                   rows have come after the last one";
        assert_eq!(lines[101], sum);
    }

    #[test]
    fn json_is_one_line_and_a_column_shows_its_values_unless_they_are_personal() {
        let mut findings = Findings::default();
        findings.add("x".to_owned());
        let expected = r#"{"pipeline":"pipeline-b","to_txn_id":9,"checked":3,"waiting":1,"differing":1,"differences":["x"]}"#;
        assert_eq!(compared(findings).json("pipeline-b"), expected);
        let column = |column: Option<Column>| serde_json::to_string(&column.unwrap()).unwrap();
        let spend = column(Column::compare("total_spend", "1.5", "1.50"));
        assert_eq!(spend, r#"{"column":"total_spend","found":"1.5","expected":"1.50"}"#);
        assert_eq!(column(Column::compare_hidden("email", "a", "b")), r#"{"column":"email"}"#);
        assert_eq!(Column::compare("gender", "F", "F"), None);
    }
}
