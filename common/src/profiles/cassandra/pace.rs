//! How much the cluster is asked for at a time: halved when it is overloaded, more again as it recovers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The limit of requests in flight, between one and `most`. As TCP does it: one more each round of successes, half on
/// an overload.
#[derive(Debug)]
struct Pace {
    limit: usize,
    most: usize,
    successes: usize,
    /// Counts the halvings. A request that began before the last one says nothing new: it met the same overload.
    slowed: u64,
}

/// What the end of a request means for the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    OneMore,
    Less(usize),
}

impl Pace {
    fn new(most: usize) -> Self {
        Self { limit: most.max(1), most: most.max(1), successes: 0, slowed: 0 }
    }

    fn succeeded(&mut self) -> Change {
        self.successes += 1;
        if self.successes < self.limit || self.limit == self.most {
            return Change::None;
        }
        self.successes = 0;
        self.limit += 1;
        Change::OneMore
    }

    /// `began` is `slowed` when the request began.
    fn overloaded(&mut self, began: u64) -> Change {
        if began != self.slowed {
            return Change::None;
        }
        let less = self.limit / 2;
        self.limit -= less;
        self.slowed += 1;
        self.successes = 0;
        if less == 0 { Change::None } else { Change::Less(less) }
    }
}

/// Lets as many requests through at a time as the cluster bears.
#[derive(Debug)]
pub(super) struct Gate {
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Places to take away once those who are in them leave.
    owed: usize,
}

impl Gate {
    /// At most `most` at a time.
    pub(super) fn new(most: usize) -> Self {
        let pace = Pace::new(most);
        Self { places: Semaphore::new(pace.limit), state: Mutex::new(State { pace, owed: 0 }) }
    }

    /// Runs `request` when there is a place for it; `overload` tells which errors mean too many requests.
    pub(super) async fn through<T, E>(
        &self,
        request: impl Future<Output = Result<T, E>>,
        overload: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let place = self.places.acquire().await.expect("the gate is never closed");
        let began = self.state().pace.slowed;
        let result = request.await;
        let mut state = self.state();
        let change = match &result {
            Ok(_) => state.pace.succeeded(),
            Err(error) if overload(error) => state.pace.overloaded(began),
            Err(_) => Change::None,
        };
        self.apply(&mut state, change);
        Self::leave(&mut state, place);
        result
    }

    fn apply(&self, state: &mut State, change: Change) {
        match change {
            Change::None => {}
            Change::OneMore if state.owed > 0 => state.owed -= 1,
            Change::OneMore => self.places.add_permits(1),
            Change::Less(places) => {
                state.owed += places;
                tracing::info!(
                    in_flight = state.pace.limit,
                    "the cluster is overloaded: writing less at a time"
                );
            }
        }
    }

    fn leave(state: &mut State, place: SemaphorePermit<'_>) {
        if state.owed > 0 {
            state.owed -= 1;
            place.forget();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_overload_halves_the_limit_once_for_all_requests_that_met_it() {
        let mut pace = Pace::new(128);
        assert_eq!(pace.overloaded(0), Change::Less(64));
        assert_eq!(pace.overloaded(0), Change::None, "it began before the limit was halved");
        assert_eq!(pace.overloaded(1), Change::Less(32));
        assert_eq!(pace.limit, 32);
    }

    #[test]
    fn a_round_of_successes_raises_the_limit_by_one_up_to_the_most() {
        let mut pace = Pace::new(4);
        pace.overloaded(0);
        let changes: Vec<Change> = (0..10).map(|_| pace.succeeded()).collect();
        let raised: Vec<usize> = (0..10).filter(|index| changes[*index] == Change::OneMore).collect();
        assert_eq!((raised, pace.limit), (vec![1, 4], 4));
    }

    proptest! {
        #[test]
        fn one_request_is_always_let_through_and_never_more_than_the_most(
            most in 0usize..300,
            overloads in proptest::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let mut pace = Pace::new(most);
            for overloaded in overloads {
                let began = pace.slowed;
                let _ = if overloaded { pace.overloaded(began) } else { pace.succeeded() };
                prop_assert!((1..=most.max(1)).contains(&pace.limit));
            }
        }
    }

    #[tokio::test]
    async fn the_gate_lets_no_more_through_than_the_limit() {
        let (gate, inside, most_inside) = (Gate::new(16), AtomicUsize::new(0), AtomicUsize::new(0));
        let request = |result: Result<(), ()>| {
            let (gate, inside, most_inside) = (&gate, &inside, &most_inside);
            async move {
                let work = async {
                    most_inside.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::Relaxed);
                    result
                };
                gate.through(work, |()| true).await
            }
        };
        futures::future::join_all((0..40).map(|_| request(Err(())))).await;
        assert_eq!(most_inside.swap(0, Ordering::Relaxed), 16);
        let limit = gate.state().pace.limit;
        assert!(limit < 16, "{limit}");
        // Fewer successes than a round at the lowest limit that matters here leave it as it is or one above.
        futures::future::join_all((0..limit).map(|_| request(Ok(())))).await;
        futures::future::join_all((0..limit).map(|_| request(Ok(())))).await;
        assert!(most_inside.load(Ordering::Relaxed) <= limit + 1);
        assert_eq!(gate.state().owed, 0);
        assert_eq!(gate.places.available_permits(), gate.state().pace.limit);
    }
}
