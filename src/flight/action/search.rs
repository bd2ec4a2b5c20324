//! Queries over what was recorded.

use futures::StreamExt;

use super::ActionError;
use super::Answers;
use crate::flight::desk::Desk;
use crate::flight::status::tonic_status;
use crate::query;
use crate::retrieval::Windows;
use crate::wire::Answer;

pub(super) async fn query(desk: &Desk, kind: &str, body: &[u8]) -> Result<String, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let query = query::parse(body)?;
    let (sequences, cost) = desk.retrieval.search_everywhere(&query, body).await?;
    Ok(Answer::Found { sequences: &sequences, cost: query.explain.then_some(&cost) }.to_json(kind))
}

pub(super) async fn clusterize(desk: &Desk, kind: &str, body: &[u8]) -> Result<Answers, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let asked = query::parse_clusters(body)?;
    Ok(answers(kind, desk.retrieval.clusters(asked, body).await?))
}

pub(super) async fn intersect(desk: &Desk, kind: &str, body: &[u8]) -> Result<Answers, ActionError> {
    let _turn = desk.retrieval.turn().await?;
    let asked = query::parse_intersection(body)?;
    Ok(answers(kind, desk.retrieval.intersection(asked, body).await?))
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
