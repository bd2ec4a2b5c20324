//! What a start does once, before anything is served.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use super::convert::uuid;
use super::fault::Outcome;
use super::puts;
use super::writer::Work;
use crate::catalog::Boot;
use crate::catalog::CatalogError;
use crate::catalog::KnownStart;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::SessionState;
use crate::model::StartId;
use crate::model::TopicMove;
use crate::model::TopicState;

/// Starts whose ids are kept. A directory that was away for longer than the last of these is taken for this catalog's.
const STARTS_KEPT: i64 = 1 << 16;

/// Counts the start and ends the puts that the last one left running, in one transaction.
pub fn boot(work: &mut Work<'_>, seed: [u8; 32], at_ns: i64) -> Outcome<Boot> {
    let mut upsert = work.connection.prepare_cached(
        "INSERT INTO server (one, incarnation, ticket_key) VALUES (1, 1, ?1)
         ON CONFLICT (one) DO UPDATE SET incarnation = incarnation + 1 RETURNING incarnation, ticket_key",
    )?;
    let (incarnation, ticket_key): (i64, [u8; 32]) =
        upsert.query_row([seed], |row| Ok((row.get("incarnation")?, row.get("ticket_key")?)))?;
    let incarnation = u64::try_from(incarnation)
        .map_err(|_| CatalogError::corrupt("the table server", format!("incarnation {incarnation}")))?;
    let receiving: Vec<i64> = work.tails.0.keys().copied().collect();
    for topic in receiving {
        let Some(mut tail) = work.tails.0.remove(&topic) else { continue };
        let next = TopicState::Receiving.after(TopicMove::Interrupt, SessionState::Open);
        let Ok(Some(state)) = next else { panic!("an open topic that is received can be interrupted, not {next:?}") };
        let why = "the server stopped while it was being received".to_owned();
        puts::finish(work, topic, &mut tail, state, PutEnd { outcome: PutOutcome::Interrupted { why }, at_ns })?;
    }
    Ok(Boot { incarnation, ticket_key })
}

/// Notes the id of a start that was counted.
pub fn name_start(work: &mut Work<'_>, incarnation: u64, id: StartId) -> Outcome<()> {
    let incarnation = i64::try_from(incarnation).unwrap_or(i64::MAX);
    let mut insert = work.connection.prepare_cached("INSERT INTO start (incarnation, id) VALUES (?1, ?2)")?;
    insert.execute(params![incarnation, id.0.as_bytes()])?;
    for forget in ["DELETE FROM start WHERE incarnation <= ?1", "DELETE FROM moment WHERE incarnation <= ?1"] {
        work.connection.prepare_cached(forget)?.execute([incarnation.saturating_sub(STARTS_KEPT)])?;
    }
    Ok(())
}

pub fn knows_start(connection: &Connection, id: StartId) -> Outcome<bool> {
    let mut select = connection.prepare_cached("SELECT 1 FROM start WHERE id = ?1")?;
    Ok(select.exists([id.0.as_bytes()])?)
}

/// Counts a moment of the running start.
pub fn count_moment(work: &mut Work<'_>) -> Outcome<u64> {
    let mut upsert = work.connection.prepare_cached(
        "INSERT INTO moment (incarnation, count) SELECT incarnation, 1 FROM server WHERE true
         ON CONFLICT (incarnation) DO UPDATE SET count = count + 1 RETURNING count",
    )?;
    let count: i64 = upsert.query_row([], |row| row.get("count"))?;
    Ok(count.unsigned_abs())
}

pub fn known_start(connection: &Connection, incarnation: u64, id: StartId, moment: u64) -> Outcome<KnownStart> {
    let last =
        connection.prepare_cached("SELECT incarnation FROM server")?.query_row([], |row| row.get(0)).optional()?;
    let last = last.map_or(0, i64::unsigned_abs);
    if incarnation > last {
        return Ok(KnownStart::Later { last });
    }
    let mut select = connection.prepare_cached("SELECT id FROM start WHERE incarnation = ?1")?;
    let own: Option<[u8; 16]> = select.query_row([incarnation as i64], |row| row.get(0)).optional()?;
    let mut select = connection.prepare_cached("SELECT count FROM moment WHERE incarnation = ?1")?;
    let counted: Option<i64> = select.query_row([incarnation as i64], |row| row.get("count")).optional()?;
    Ok(match own {
        None => KnownStart::Own,
        Some(own) if own != *id.0.as_bytes() => KnownStart::Foreign,
        Some(_) if counted.map_or(0, i64::unsigned_abs) < moment => KnownStart::Behind,
        Some(_) => KnownStart::Own,
    })
}

/// The key of a file that another process may have open. Changes nothing.
pub fn key(connection: &Connection) -> Outcome<[u8; 32]> {
    let mut select = connection.prepare_cached("SELECT ticket_key FROM server")?;
    let key = select.query_row([], |row| row.get("ticket_key")).optional()?;
    Ok(key.ok_or_else(|| CatalogError::corrupt("the table server", "it has no key"))?)
}

pub fn device(work: &mut Work<'_>, id: DeviceId) -> Outcome<DeviceNumber> {
    let mut select = work.connection.prepare_cached("SELECT number FROM device WHERE id = ?1")?;
    if let Some(number) = select.query_row([id.0.as_bytes()], |row| row.get("number")).optional()? {
        return Ok(DeviceNumber(number));
    }
    let mut next = work.connection.prepare_cached("SELECT coalesce(max(number) + 1, 0) FROM device")?;
    let number: i64 = next.query_row([], |row| row.get(0))?;
    let limit = u64::from(u16::MAX) + 1;
    let number = u16::try_from(number).map_err(|_| CatalogError::TooLarge {
        what: "data directories",
        limit,
        found: limit + 1,
    })?;
    let mut insert = work.connection.prepare_cached("INSERT INTO device (number, id) VALUES (?1, ?2)")?;
    insert.execute(params![number, id.0.as_bytes()])?;
    Ok(DeviceNumber(number))
}

/// Enters a device under the number that files have for it. For a catalog that is made again.
pub fn adopt_device(work: &mut Work<'_>, number: DeviceNumber, id: DeviceId) -> Outcome<()> {
    let mut insert = work.connection.prepare_cached("INSERT OR IGNORE INTO device (number, id) VALUES (?1, ?2)")?;
    if insert.execute(params![number.0, id.0.as_bytes()])? == 0 && device(work, id)? != number {
        let why = format!("number {} or the data directory with DEVICE {id} is there already", number.0);
        return Err(CatalogError::Invalid { field: "device", why }.into());
    }
    Ok(())
}

/// Enters how many starts there were before this catalog was made again.
pub fn adopt_incarnation(work: &mut Work<'_>, incarnation: u64, seed: [u8; 32]) -> Outcome<()> {
    let incarnation = i64::try_from(incarnation).map_err(|_| CatalogError::Invalid {
        field: "incarnation",
        why: format!("{incarnation} starts are more than there can be"),
    })?;
    let mut insert = work
        .connection
        .prepare_cached("INSERT OR IGNORE INTO server (one, incarnation, ticket_key) VALUES (1, ?1, ?2)")?;
    insert.execute(params![incarnation, seed])?;
    Ok(())
}

pub fn topics_on(connection: &Connection, device: DeviceNumber) -> Outcome<u64> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM topic WHERE device = ?1")?;
    let count: i64 = select.query_row([device.0], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub fn devices(connection: &Connection) -> Outcome<Vec<(DeviceNumber, DeviceId)>> {
    let mut select = connection.prepare_cached("SELECT number, id FROM device ORDER BY number")?;
    let (mut rows, mut all) = (select.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        all.push((DeviceNumber(row.get("number")?), DeviceId(uuid(row, "id")?)));
    }
    Ok(all)
}
