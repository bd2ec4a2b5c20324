//! Bytes that change on the disk: always found, never wrong rows, never fewer of them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::Visibility;
use tessera::model::TimeRange;
use tessera::model::TopicHead;
use tessera::query::Selection;
use tessera::session::verify_manifest;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::rebuilding::told;

/// A generator whose seed is the whole test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn recorded(house: &House, rows: i64, batch: i64) -> (TopicHead, PathBuf) {
    let (head, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/a").await;
    let mut put = house.begin(&topic).await.unwrap();
    for first in (0..rows).step_by(batch as usize) {
        let times: Vec<i64> = (first..first + batch).collect();
        push(&mut put, &times).await.unwrap();
    }
    put.close().await.unwrap();
    house.sessions.finalize(token).await.unwrap();
    let path = house.manifest(head.id);
    let root = path.parent().unwrap().parent().unwrap().join(format!("chunks/{}", head.id));
    let file = fs::read_dir(root).unwrap().next().unwrap().unwrap().path();
    (topic.0, file)
}

/// Reads all rows; the error's text when they do not all come.
async fn read(house: &House, topic: &TopicHead, rows: i64) -> Result<(), String> {
    let mut reading = house
        .retrieval
        .read(topic.id, TimeRange::ALL, Selection::default())
        .await
        .map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    while let Some(batch) = reading.batches.next().await {
        let batch = batch.map_err(|error| error.to_string())?;
        let column = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
        times.extend_from_slice(column.values());
    }
    assert!(times.iter().copied().eq(0..rows), "{} rows, and no error", times.len());
    Ok(())
}

fn is_told(result: Result<(), String>, topic: &TopicHead, file: &std::path::Path, at: u64) {
    let text = result.expect_err(&format!("byte {at} changed, and all rows came"));
    let chunk = file.file_stem().unwrap().to_str().unwrap();
    assert!(text.contains(&topic.name.to_string()) && text.contains(chunk), "byte {at}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_small_chunk() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (topic, path) = recorded(&house, 40, 40).await;
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    for at in 0..len {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (at % 8)], at).unwrap();
        is_told(read(&house, &topic, 40).await, &topic, &path, at);
        file.write_all_at(&byte, at).unwrap();
    }
    read(&house, &topic, 40).await.unwrap();
    assert!(len > 1000, "{len} bytes");
    house.stop();
}

/// Goal: whatever bits of a chunk flip, its rows never come otherwise.
async fn random_bits(flips: u64, seed: u64, rows: i64, batch: i64) {
    let root = directory();
    let house = House::open(root.path()).await;
    assert!(flips > 0);
    let mut random = Random(seed);
    let (topic, path) = recorded(&house, rows, batch).await;
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    for _ in 0..flips {
        let (at, bit) = (random.below(len), random.below(8));
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << bit], at).unwrap();
        is_told(read(&house, &topic, rows).await, &topic, &path, at);
        file.write_all_at(&byte, at).unwrap();
    }
    read(&house, &topic, rows).await.unwrap();
    println!("{flips} bits of {len} bytes flipped, each of them found; TESSERA_SEED={seed} flips the same");
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bits_of_a_large_chunk() {
    random_bits(300, 7, 400_000, 20_000).await;
}

/// `TESSERA_FLIPS` says how many, 300 by default, `TESSERA_SEED` which.
#[tokio::test(flavor = "multi_thread")]
async fn random_bits_of_a_chunk() {
    let number = |key, otherwise| std::env::var(key).map_or(otherwise, |text| text.parse().unwrap());
    random_bits(number("TESSERA_FLIPS", 300), number("TESSERA_SEED", 7), 10_000, 1_000).await;
}

/// Goal: whatever byte of a manifest changes, `verify` finds it.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_manifest() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (topic, _) = recorded(&house, 40, 40).await;
    let sequence = house.catalog.sequence(&topic.name.sequence, Visibility::All).await.unwrap();
    let bytes = fs::read(house.manifest(topic.session)).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let found = verify_manifest(&*house.catalog, &sequence, topic.session, &changed).await;
        assert!(found.is_err(), "byte {at}");
    }
    verify_manifest(&*house.catalog, &sequence, topic.session, &bytes).await.unwrap();
    house.stop();
}

/// Goal: a byte of the catalog's file that changes is harmless, refused, or found by what `verify` asks: the pages, the
/// references, the manifests. Never other names, times or chunks in silence.
#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_of_the_catalog() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (topic, _) = recorded(&house, 40, 10).await;
    let manifest = fs::read(house.manifest(topic.session)).unwrap();
    let before = told(&house.catalog).await;
    house.stop();
    let path = root.path().join("catalog.db");
    let good = fs::read(&path).unwrap();
    let (mut random, mut harmless, mut refused, mut found) = (Random(11), 0, 0, 0);
    let elsewhere = directory();
    for turn in 0..600 {
        let place = elsewhere.path().join(format!("{turn}.db"));
        let mut bytes = good.clone();
        let at = random.below(bytes.len() as u64) as usize;
        // Most of the file is empty: a byte that is not says more.
        let at = (at..bytes.len()).find(|at| bytes[*at] != 0).unwrap_or(at);
        bytes[at] ^= 1 << random.below(8);
        fs::write(&place, bytes).unwrap();
        let Ok(catalog) = EmbeddedCatalog::open(&EmbeddedConfig::default(), &place) else {
            refused += 1;
            continue;
        };
        let verified = async {
            let store = catalog.open_store();
            let damage = store.check().await.map_err(|error| error.to_string())?;
            if let Some(damage) = damage.into_iter().next() {
                return Err(damage);
            }
            let sequence = catalog.sequence(&topic.name.sequence, Visibility::All).await;
            let sequence = sequence.map_err(|error| error.to_string())?;
            let verified = verify_manifest(&catalog, &sequence, topic.session, &manifest).await;
            verified.map_err(|error| error.to_string())
        };
        // A panic is as good as a refusal to a command, but not to a server.
        match verified.await {
            Err(_) => found += 1,
            Ok(()) => {
                let now = told(&catalog).await;
                let different = now.iter().zip(&before).find(|(now, before)| now != before);
                assert!(now == before, "byte {at} of {}: {different:?}", good.len());
                harmless += 1;
            }
        }
        catalog.close();
        fs::remove_file(&place).unwrap();
    }
    assert!(found > 100, "{harmless} harmless, {refused} refused, {found} found");
}
