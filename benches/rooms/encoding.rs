//! Rows into the bytes of a chunk, and back.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use bytes::Bytes;

use tessera::chunk::ChunkEncoder;
use tessera::chunk::ChunkIdentity;
use tessera::chunk::ChunkLayout;
use tessera::chunk::Columns;
use tessera::chunk::Effort;
use tessera::chunk::SparseBytes;
use tessera::chunk::gap_max;
use tessera::chunk::sorted;
use tessera::io::BlockHasher;
use tessera::io::Recycler;
use tessera::io::hash_blocks;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::TimeRange;
use tessera::model::TopicId;
use tessera::model::TopicName;

use crate::case::Amount;
use crate::case::Case;
use crate::case::Ready;
use crate::case::Scale;
use crate::case::fold;
use crate::rows;
use crate::rows::Make;

/// As the shard does: received batches come together until they have so many bytes.
const ROW_GROUP_BYTES: u64 = 4 << 20;

pub fn cases(scale: Scale) -> Vec<Case> {
    let blobs = move || rows::blobs(scale.pick(4, 64));
    let sweeps = move || rows::sweeps(scale.pick(2, 32));
    let readings = move || rows::readings(scale.pick(8, 128), 10_000);
    // Payloads are written directly whatever the effort, so only small rows are packed.
    vec![
        // The second of a pair leaves out what it costs to look at values, for skipping.
        pages("pages/blobs", 0x1b6a_ffcd_528c_f7fd, blobs, Looks::AtValues),
        pages("bare-pages/blobs", 0x1b6a_ffcd_528c_f7fd, blobs, Looks::Away),
        pages("pages/lidar", 0xcdc8_63d7_4840_b6fb, sweeps, Looks::AtValues),
        pages("bare-pages/lidar", 0xcdc8_63d7_4840_b6fb, sweeps, Looks::Away),
        pages("pages/imu10k", 0xc520_3b54_7f66_ac2c, readings, Looks::AtValues),
        pages("bare-pages/imu10k", 0xc520_3b54_7f66_ac2c, readings, Looks::Away),
        encode("encode/blobs", 0x15b1_eb91_2a99_2040, blobs, Effort::Direct),
        encode("encode/lidar", 0x74f1_9a02_248e_1cd6, sweeps, Effort::Direct),
        encode("encode/imu10k", 0x5e4f_b03b_9e7e_4789, readings, Effort::Direct),
        encode("encode/imu10k-compact", 0xeabc_14fe_5b8b_34cc, readings, Effort::Compact),
        decode("decode/blobs", 0xc7a7_2de7_7688_2f13, blobs, Effort::Direct),
        decode("decode/lidar", 0xf1cb_d510_29c2_0986, sweeps, Effort::Direct),
        decode("decode/imu10k", 0x1e44_1c29_b793_ed72, readings, Effort::Direct),
        decode("decode/imu10k-compact", 0x1e44_1c29_b793_ed72, readings, Effort::Compact),
        times("times/imu10k", 0xa115_7607_0e3e_cc15, readings),
    ]
}

/// Whether an encoder makes statistics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    AtValues,
    Away,
}

/// The page writer alone: what it makes shares the batches' memory, and nobody copies it.
fn pages(name: &'static str, digest: u64, make: impl Make, looks: Looks) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        let groups = groups(&batches);
        Ready::new(Amount::Bytes(rows::bytes(&batches)), move |watch| {
            let made = watch.time(|| {
                let mut encoder = match looks {
                    Looks::AtValues => encoder(&groups),
                    Looks::Away => bare_encoder(&groups),
                };
                let made: Vec<Buffer> =
                    groups.iter().flat_map(|group| row_group(&mut encoder, group, Effort::Direct)).collect();
                made
            });
            made.iter().fold(made.len() as u64, |digest, piece| fold(digest, piece.len() as u64))
        })
    })
}

/// What a shard does to a chunk's bytes: pages, one copy, the checksum of what was copied, and the trailer; without zones.
fn encode(name: &'static str, digest: u64, make: impl Make, effort: Effort) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        let groups = groups(&batches);
        let bytes = rows::bytes(&batches);
        let mut file = Vec::with_capacity(bytes as usize + (1 << 20));
        Ready::new(Amount::Bytes(bytes), move |watch| {
            file.clear();
            let record = watch.time(|| {
                let mut encoder = encoder(&groups);
                let mut hasher = BlockHasher::new(rows::chunk());
                for piece in groups.iter().flat_map(|group| row_group(&mut encoder, group, effort).into_iter()) {
                    let at = file.len();
                    file.extend_from_slice(piece.as_slice());
                    hasher.update(&file[at..]);
                }
                let (trailer, record) = encoder.finish(&hasher.finish()).expect("a chunk with rows");
                file.extend_from_slice(&trailer);
                record
            });
            let digest = u64::from_le_bytes(*record.digest.first_chunk().expect("16 bytes"));
            fold(fold(digest, record.file_bytes), file.len() as u64)
        })
    })
}

/// From the file's bytes to batches, all rows. The checksums were looked at where the bytes were copied (`hash`).
fn decode(name: &'static str, digest: u64, make: impl Make, effort: Effort) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        let (file, record) = file(&batches, effort);
        let recycler = Recycler::new(64 << 20);
        Ready::new(Amount::Bytes(rows::bytes(&batches)), move |watch| {
            let read = watch.time(|| {
                let layout = ChunkLayout::parse(&record, &file[record.body_bytes as usize..]).expect("a whole file");
                let mut read = Vec::new();
                for (index, group) in layout.row_groups().iter().enumerate() {
                    let selection = layout.select(index, 0..group.rows, &TimeRange::ALL, Columns::All).expect("rows");
                    let mut bytes = SparseBytes::new();
                    for range in layout.needs(&selection) {
                        bytes.insert(range.start, file.slice(range.start as usize..range.end as usize));
                    }
                    read.push(layout.decode(&selection, &bytes, &recycler).expect("decodable rows"));
                }
                read
            });
            rows::digest(&read)
        })
    })
}

/// What is looked at in every row: whether times ascend, and the longest gap between two.
fn times(name: &'static str, digest: u64, make: impl Make) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        Ready::new(Amount::Rows(rows::count(&batches)), move |watch| {
            let taken = batches.clone();
            let (kept, gap) = watch.time(|| {
                let kept = sorted(taken, 0).expect("times");
                let gap = gap_max(&kept, 0);
                (kept, gap)
            });
            fold(rows::count(&kept), gap.expect("two rows"))
        })
    })
}

fn file(batches: &[RecordBatch], effort: Effort) -> (Bytes, ChunkRecord) {
    let groups = groups(batches);
    let mut encoder = encoder(&groups);
    let mut file = Vec::new();
    for piece in groups.iter().flat_map(|group| row_group(&mut encoder, group, effort).into_iter()) {
        file.extend_from_slice(piece.as_slice());
    }
    encoder.last().iter().for_each(|piece| file.extend_from_slice(piece.as_slice()));
    let (trailer, record) = encoder.finish(&hash_blocks(rows::chunk(), &file)).expect("a chunk with rows");
    file.extend_from_slice(&trailer);
    (Bytes::from(file), record)
}

fn groups(batches: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let mut groups: Vec<Vec<RecordBatch>> = Vec::new();
    for batch in batches {
        match groups.last_mut().filter(|group| rows::bytes(group) < ROW_GROUP_BYTES) {
            Some(group) => group.push(batch.clone()),
            None => groups.push(vec![batch.clone()]),
        }
    }
    groups
}

fn row_group(encoder: &mut ChunkEncoder, group: &[RecordBatch], effort: Effort) -> Vec<Buffer> {
    encoder.row_group(group, effort).expect("rows that can be stored")
}

fn encoder(groups: &[Vec<RecordBatch>]) -> ChunkEncoder {
    ChunkEncoder::new(identity(), &groups[0][0].schema()).expect("a schema that can be stored")
}

fn bare_encoder(groups: &[Vec<RecordBatch>]) -> ChunkEncoder {
    ChunkEncoder::without_statistics(identity(), &groups[0][0].schema()).expect("a schema that can be stored")
}

fn identity() -> ChunkIdentity {
    let ids = rows::ids();
    ChunkIdentity {
        chunk: rows::chunk(),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 1,
        sequence: SequenceId::new(&ids),
        session: SessionId::new(&ids),
        topic: TopicId::new(&ids),
        name: TopicName::parse("bench/topic").expect("a name"),
        tag: OntologyTag::parse("Bench").expect("a tag"),
        format: SerializationFormat::Default,
    }
}
