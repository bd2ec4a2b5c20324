//! Conditions on names and metadata, evaluated so that those that take long hold up nobody else: one after the other, in turns
//! with other queries, where the runtime has threads for it. A query whose client leaves, or that has no time left, ends
//! between two of them.

use std::slice;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::runtime::RuntimeFlavor;

use super::stream::Desk;
use crate::model::Expression;
use crate::model::Test;
use crate::query;
use crate::query::Head;
use crate::query::HeadTest;

/// Bytes of metadata, times conditions, from which on it is called long: a few milliseconds.
const LONG_BYTES: usize = 4 << 20;

/// Conditions that take as long as one pattern.
const PATTERN: usize = 16;

/// Whether all conditions hold.
pub(super) async fn holds(desk: &Desk, conditions: &[Expression<HeadTest>], head: &Head<'_>) -> bool {
    if !takes_long(conditions, head) {
        return query::holds(conditions, head);
    }
    for condition in conditions {
        if !condition_holds(desk, condition, head).await {
            return false;
        }
    }
    true
}

fn takes_long(conditions: &[Expression<HeadTest>], head: &Head) -> bool {
    let weight = |leaf: &HeadTest| if matches!(leaf.test, Test::Match(_)) { PATTERN } else { 1 };
    let leaves = conditions.iter().flat_map(Expression::leaves);
    leaves.map(weight).sum::<usize>().saturating_mul(head.metadata.text_len()) > LONG_BYTES
}

fn condition_holds<'a>(desk: &'a Desk, condition: &'a Expression<HeadTest>, head: &'a Head<'_>) -> BoxFuture<'a, bool> {
    async move {
        if !takes_long(slice::from_ref(condition), head) {
            // Time limits are looked at where nothing is ready.
            tokio::task::yield_now().await;
            return query::holds(slice::from_ref(condition), head);
        }
        match condition {
            Expression::All(parts) => {
                for part in parts {
                    if !condition_holds(desk, part, head).await {
                        return false;
                    }
                }
                true
            }
            Expression::Any(parts) => {
                for part in parts {
                    if condition_holds(desk, part, head).await {
                        return true;
                    }
                }
                false
            }
            Expression::Not(part) => !condition_holds(desk, part, head).await,
            Expression::Leaf(_) => {
                tokio::task::yield_now().await;
                let Ok(_turn) = desk.walking.acquire().await else { return false };
                let evaluate = || query::holds(slice::from_ref(condition), head);
                match Handle::current().runtime_flavor() {
                    RuntimeFlavor::MultiThread => tokio::task::block_in_place(evaluate),
                    _ => evaluate(),
                }
            }
        }
    }
    .boxed()
}
