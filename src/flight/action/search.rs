//! Queries over what was recorded.

use futures::StreamExt;

use super::ActionError;
use super::Answers;
use crate::fleet::FleetError;
use crate::flight::desk::Desk;
use crate::flight::status::tonic_status;
use crate::query;
use crate::retrieval::RetrievalError;
use crate::retrieval::Windows;
use crate::wire::Answer;

pub(super) async fn query(desk: &Desk, kind: &str, body: &[u8]) -> Result<String, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let query = query::parse(body)?;
    let (sequences, cost) = placed(desk, desk.retrieval.search(&query).await).await?;
    Ok(Answer::Found { sequences: &sequences, cost: query.explain.then_some(&cost) }.to_json(kind))
}

pub(super) async fn clusterize(desk: &Desk, kind: &str, body: &[u8]) -> Result<Answers, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let asked = query::parse_clusters(body)?;
    Ok(answers(kind, placed(desk, desk.retrieval.clusters(asked).await).await?))
}

pub(super) async fn intersect(desk: &Desk, kind: &str, body: &[u8]) -> Result<Answers, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let asked = query::parse_intersection(body)?;
    Ok(answers(kind, placed(desk, desk.retrieval.intersection(asked).await).await?))
}

/// The same, with the place where it can be had.
async fn placed<T>(desk: &Desk, answer: Result<T, RetrievalError>) -> Result<T, ActionError> {
    let (topic, node) = match answer {
        Err(RetrievalError::Elsewhere { topic, node }) => (topic, node),
        other => return Ok(other?),
    };
    let address = match &desk.fleet {
        Some(fleet) => fleet.address(node).await,
        None => None,
    };
    match address {
        Some(address) => Err(FleetError::NotHere { topic, node, address }.into()),
        None => Err(RetrievalError::Elsewhere { topic, node }.into()),
    }
}

/// One document per window; no window is no document.
fn answers(kind: &str, windows: Windows) -> Answers {
    let kind = kind.to_owned();
    let answer = move |(index, window): (usize, Result<_, _>)| match window {
        Ok(bounds) => Ok(Answer::Window { index: index as u64, bounds }.to_json(&kind)),
        Err(error) => Err(tonic_status(&error)),
    };
    windows.enumerate().map(answer).boxed()
}
