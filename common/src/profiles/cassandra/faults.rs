//! What an error of the cluster means: whether to try again, and whether to ask for less.

use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not made: the run's term is over.
    TermOver,
    /// The cluster or the driver says so.
    Execution(Box<ExecutionError>),
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        Self::Execution(Box::new(error))
    }
}

/// Everything but a statement that can never work: timeouts, unavailable replicas, overload, lost connections.
pub(super) fn retryable(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_) => false,
        ExecutionError::LastAttemptError(attempt)
        | ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt: attempt }) => {
            may_pass(attempt)
        }
        _ => true,
    }
}

fn may_pass(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::SerializationError(_) => false,
        RequestAttemptError::DbError(error, _) => !matches!(
            error,
            DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized | DbError::AuthenticationError
        ),
        _ => true,
    }
}

/// The cluster has more to do than it can.
pub(super) fn overloaded(failure: &Failure) -> bool {
    matches!(failure, Failure::Execution(error) if overload(error))
}

fn overload(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::RequestTimeout(_) => true,
        ExecutionError::LastAttemptError(error) => matches!(
            error,
            RequestAttemptError::UnableToAllocStreamId
                | RequestAttemptError::DbError(
                    DbError::Overloaded
                        | DbError::WriteTimeout { .. }
                        | DbError::ReadTimeout { .. }
                        | DbError::RateLimitReached { .. },
                    _
                )
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_means_too_much_slows_down() {
        let answer =
            |error| ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()));
        let prepared = |error| {
            let first_attempt = RequestAttemptError::DbError(error, String::new());
            ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt })
        };
        let (consistency, received, required) = (Consistency::LocalQuorum, 1, 2);
        let write_timeout =
            DbError::WriteTimeout { consistency, received, required, write_type: WriteType::Simple };
        let read_timeout = DbError::ReadTimeout { consistency, received, required, data_present: false };
        let unavailable = DbError::Unavailable { consistency, required, alive: 1 };
        for (error, tried_again, slowed) in [
            (answer(write_timeout), true, true),
            (answer(read_timeout), true, true),
            (answer(DbError::Overloaded), true, true),
            (ExecutionError::RequestTimeout(Duration::from_secs(10)), true, true),
            (answer(unavailable), true, false),
            (answer(DbError::IsBootstrapping), true, false),
            (ExecutionError::EmptyPlan, true, false),
            (prepared(DbError::IsBootstrapping), true, false),
            (prepared(DbError::SyntaxError), false, false),
            (answer(DbError::Invalid), false, false),
            (answer(DbError::SyntaxError), false, false),
            (answer(DbError::Unauthorized), false, false),
        ] {
            assert_eq!((retryable(&error), overload(&error)), (tried_again, slowed), "{error:?}");
        }
    }
}
