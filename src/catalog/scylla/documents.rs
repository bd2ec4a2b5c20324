//! Long texts and bytes in pieces: neither server likes cells of a megabyte.

use futures::future::try_join_all;
use scylla::statement::prepared::PreparedStatement;

use super::cluster::Cluster;
use super::fault::damaged;
use crate::catalog::CatalogError;
use crate::model::SequenceId;
use crate::model::TopicId;
use crate::model::UserMetadata;

/// Bytes of one piece.
pub const PIECE_LEN: usize = 128 << 10;

/// Documents of a topic up to this long lie in its row.
pub const INLINE_LEN_MAX: usize = 16 << 10;

/// What a document of a topic is; the numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Metadata = 0,
    Schema = 1,
}

/// The pieces of a document with their numbers. At least one, so that an empty one can be told from none.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = (i32, &[u8])> {
    let whole = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(PIECE_LEN).collect() };
    (0_i32..).zip(whole)
}

pub async fn put_sequence(cluster: &Cluster, id: SequenceId, metadata: &UserMetadata) -> Result<(), CatalogError> {
    let statement = &cluster.statements.document;
    let bytes = metadata.as_str().as_bytes();
    try_join_all(pieces(bytes).map(|(n, piece)| cluster.write(statement, (id.0, n, piece)))).await.map(drop)
}

/// * `len`: what the sequence says of it.
pub async fn of_sequence(cluster: &Cluster, id: SequenceId, len: i32) -> Result<UserMetadata, CatalogError> {
    let bytes = gather(cluster, &cluster.statements.document_read, (id.0,)).await?;
    if usize::try_from(len) != Ok(bytes.len()) {
        let why = format_args!("metadata of {len} bytes has {}", bytes.len());
        return Err(damaged(format_args!("sequence {id}"), why));
    }
    metadata(bytes, || format!("the metadata of sequence {id}"))
}

/// Writes a document that is too long for the row of its topic; nothing for a shorter one.
pub async fn put_topic(cluster: &Cluster, id: TopicId, kind: Kind, bytes: &[u8]) -> Result<(), CatalogError> {
    if bytes.len() <= INLINE_LEN_MAX {
        return Ok(());
    }
    let statement = &cluster.statements.topic_document;
    let values = pieces(bytes).map(|(n, piece)| cluster.write(statement, (id.0, kind as i8, n, piece)));
    try_join_all(values).await.map(drop)
}

/// A document of a topic, of which the row says the length, and all of it when it is short.
pub async fn of_topic(
    cluster: &Cluster,
    id: TopicId,
    kind: Kind,
    (inline, len): (Option<Vec<u8>>, i32),
) -> Result<Vec<u8>, CatalogError> {
    let bytes = match usize::try_from(len) {
        Ok(len) if len <= INLINE_LEN_MAX => inline.unwrap_or_default(),
        _ => gather(cluster, &cluster.statements.topic_document_read, (id.0, kind as i8)).await?,
    };
    match usize::try_from(len) == Ok(bytes.len()) {
        true => Ok(bytes),
        false => Err(damaged(format_args!("topic {id}"), format_args!("{kind:?} of {len} bytes has {}", bytes.len()))),
    }
}

pub fn metadata(bytes: Vec<u8>, place: impl Fn() -> String) -> Result<UserMetadata, CatalogError> {
    let text = String::from_utf8(bytes).map_err(|error| damaged(place(), error))?;
    UserMetadata::parse(&text).map_err(|error| damaged(place(), error))
}

/// The pieces that a read finds, joined.
pub async fn gather(
    cluster: &Cluster,
    statement: &PreparedStatement,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<u8>, CatalogError> {
    let pieces: Vec<(Vec<u8>,)> = cluster.rows(statement, values).await?;
    Ok(pieces.into_iter().flat_map(|(piece,)| piece).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_what_they_were() {
        for len in [0, 1, PIECE_LEN, PIECE_LEN + 1, 3 * PIECE_LEN] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let pieces: Vec<_> = pieces(&bytes).collect();
            assert!(pieces.iter().all(|(_, piece)| piece.len() <= PIECE_LEN));
            assert!(pieces.iter().map(|(n, _)| *n).eq(0..len.div_ceil(PIECE_LEN).max(1) as i32));
            assert_eq!(pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect::<Vec<_>>(), bytes);
        }
    }
}
